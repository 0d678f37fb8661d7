"""Compile the native core as C for each platform that gets a wheel, with warnings as errors.

The C files are those of the last build (build/cython). gcc and clang compile them for this machine,
as a release, debug and free-threaded build; zig, which PyPI has and which carries the headers of
other systems, compiles them for those. Then probe.c is run: here, and for Windows under wine if
there is one.

What a compiler cannot show, the workflow on the real systems does: .github/workflows/wheels.yml.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCES = sorted((ROOT / "build/cython/src/jobqueue").rglob("*.c"))
BUILD = ROOT / "build/portable"
INCLUDE = Path(sysconfig.get_path("include"))
STRICT = ["-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'src/jobqueue'}"]
ZIG = [sys.executable, "-m", "ziglang", "cc"]
ELSEWHERE = (
    "x86_64-linux-musl",
    "aarch64-linux-gnu",
    "aarch64-linux-musl",
    "x86_64-macos",
    "aarch64-macos",
    "x86_64-windows-gnu",
    "aarch64-windows-gnu",
)


def headers(target: str) -> Path:
    """CPython's headers; for Windows a copy with that system's configuration."""
    if "windows" not in target:
        return INCLUDE
    copy = BUILD / "windows"
    if not copy.exists():
        shutil.copytree(INCLUDE, copy)
        (copy / "pyconfig.h").unlink()
        shutil.copy(HERE / "pyconfig_windows.h", copy / "pyconfig.h")
    return copy


def compilers() -> Iterator[tuple[str, list[str]]]:
    """What to compile with: a label, and a command that lacks the source and the object."""
    builds = {"release": "-O3 -DNDEBUG", "debug": "-O1 -DJQ_DEBUG=1"}
    if sys.version_info >= (3, 13):
        builds["free-threaded"] = "-O1 -DPy_GIL_DISABLED=1"
    for compiler in ("gcc", "clang"):
        if shutil.which(compiler) is None:
            print(f"{compiler:8} is not here: left out")
            continue
        for build, flags in builds.items():
            command = [compiler, *STRICT, *flags.split(), f"-I{INCLUDE}", "-fPIC"]
            if compiler == "gcc" and build == "free-threaded":
                # The cache of names is never filled there: an atomic count at NULL, in dead code.
                command.append("-Wno-stringop-overflow")
            yield f"{compiler} {build}", command
    for target in ELSEWHERE:
        yield f"zig {target}", [*ZIG, "-target", target, *STRICT, f"-I{headers(target)}"]


def compiled(label: str, command: list[str], source: Path) -> bool:
    """Compile one file; say what was wrong."""
    target = BUILD / label.replace(" ", "-") / (source.stem + ".o")
    target.parent.mkdir(parents=True, exist_ok=True)
    run = subprocess.run(
        [*command, "-c", source, "-o", target], capture_output=True, text=True, check=False
    )
    if run.returncode:
        print(f"{label}: {source.name}\n{run.stderr}")
    return run.returncode == 0


def probe(label: str, command: list[str], runner: list[str]) -> bool:
    """Build and run probe.c, which calls nothing of Python's at run time."""
    program = BUILD / f"probe-{label}.exe"
    options = ["-O2", "-DNDEBUG", "-ffunction-sections", "-Wl,--gc-sections"]
    build = subprocess.run([*command, *options, HERE / "probe.c", "-o", program], check=False)
    environment = os.environ | {"WINEDEBUG": "-all", "WINEPREFIX": str(BUILD / "wine")}
    return (
        build.returncode == 0
        and subprocess.run([*runner, program], env=environment, check=False).returncode == 0
    )


def main() -> int:
    """Exit status: 0 if everything compiled without a warning, and the probes ran."""
    if not SOURCES:
        print("no C files: build first (make portable does)")
        return 1
    good = True
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for label, command in compilers():
            results = list(pool.map(partial(compiled, label, command), SOURCES))
            print(f"{label:28} {sum(results)} of {len(SOURCES)} modules", flush=True)
            good = good and all(results)
    good = probe("here", ["cc", *STRICT, f"-I{INCLUDE}"], []) and good
    if wine := shutil.which("wine64") or shutil.which("wine"):
        windows = "x86_64-windows-gnu"
        command = [*ZIG, "-target", windows, *STRICT, f"-I{headers(windows)}"]
        good = probe("windows", command, [wine]) and good
    return not good


if __name__ == "__main__":
    sys.exit(main())
