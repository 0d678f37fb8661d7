"""Build of the native core. Metadata and tool configuration live in pyproject.toml.

Switches (environment variables): DEBUG=1 checks every index and counts live objects, TRACE=1 adds
line tracing for profilers and debuggers, COVERAGE=1 counts executed lines with gcov, SANITIZE=1
builds with AddressSanitizer and UndefinedBehaviorSanitizer. TESTS=1 adds the native code that only
tests use; builds in place, DEBUG=1 and SANITIZE=1 have it anyhow.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("DEBUG") == "1"
TRACE = os.environ.get("TRACE") == "1"
COVERAGE = os.environ.get("COVERAGE") == "1"
SANITIZE = os.environ.get("SANITIZE") == "1"

DIRECTIVES = {
    "language_level": 3,
    "wraparound": False,
    "cdivision": True,
    "auto_pickle": False,
    "autotestdict": False,
    "freethreading_compatible": True,
    "binding": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
    "boundscheck": DEBUG,
    "nonecheck": DEBUG,
    "initializedcheck": DEBUG,
    "linetrace": TRACE,
}

# From the inside out: each knows only those before it.
MODULES = (
    "_structures.skiplist",
    "_structures.wheel",
    "_structures.id_table",
    "_structures.system",
    "_machine.key_table",
    "_machine.woken",
    "_machine.events",
    "_machine.bounds",
    "_machine.state",
    "_machine.life",
    "_machine.slices",
    "_machine.check",
    "_objects.whole",
    "_objects.rules",
    "_objects.job",
    "_objects.timer",
    "_objects.registry",
    "_objects.queues",
    "_engine.status",
    "_engine.base",
    "_engine.batches",
    "_engine.leasing",
    "_engine.waiting",
    "_engine.notifier",
    "_engine.looking",
    "_core",
    "cmdlog._format",
    "cmdlog._journal",
    "cmdlog._disk",
    "cmdlog._segments",
    "cmdlog._replay",
)

# Cython 3.3: without memory for the names of a call's keywords, the code that makes objects by
# vectorcall lets go of arguments that it has not read yet.
macros: list[tuple[str, str | None]] = [("CYTHON_VECTORCALL_TPNEW", "0")]
compile_args: list[str] = []
link_args: list[str] = []
if DEBUG:
    macros.append(("JQ_DEBUG", "1"))
if TRACE:
    # Not CYTHON_TRACE_NOGIL: a tracer would let go of the GIL within what is atomic without it.
    macros.append(("CYTHON_TRACE", "1"))
    # Cython traces through sys.monitoring from 3.13 on, which coverage.py cannot read from C yet.
    macros.append(("CYTHON_USE_SYS_MONITORING", "0"))
if sys.platform != "win32":
    compile_args += ["-O1", "-g"] if DEBUG or SANITIZE or COVERAGE else ["-O3", "-g0"]
if COVERAGE:
    compile_args += ["-O0", "--coverage"]
    link_args += ["--coverage"]
if SANITIZE:
    macros.append(("JQ_SANITIZE", "1"))
    flags = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
    compile_args += flags
    link_args += flags


FOR_TESTS = Path("tests/native/skiplist_object.pyx")


def for_tests() -> list[Extension]:
    """What tests alone use: only where a checkout is built in place, or a switch says so."""
    in_place = not {"--inplace", "editable_wheel"}.isdisjoint(sys.argv)
    wanted = in_place or DEBUG or SANITIZE or os.environ.get("TESTS") == "1"
    return (
        [extension(f"_jobqueue_{FOR_TESTS.stem}", FOR_TESTS)]
        if wanted and FOR_TESTS.exists()
        else []
    )


def native(name: str) -> Extension:
    return extension(f"jobqueue.{name}", Path(f"src/jobqueue/{name.replace('.', '/')}.pyx"))


def extension(name: str, source: Path) -> Extension:
    return Extension(
        name,
        [source.as_posix()],
        include_dirs=["src/jobqueue"],
        depends=[str(header) for header in Path("src/jobqueue").rglob("*.h")],
        define_macros=macros,
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )


setup(
    ext_modules=cythonize(
        [*map(native, MODULES), *for_tests()],
        compiler_directives=DIRECTIVES,
        build_dir="build/cython",
        include_path=["src"],
        emit_linenums=COVERAGE,
    )
)
