"""Builds the floor, which happens on first use as well: python benchmarks/floor/build.py.

Compiled in a temporary folder, by Cython and setuptools, with the directives of the package's own
setup.py; the result ends up beside its source.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
DIRECTIVES = {
    "language_level": 3,
    "wraparound": False,
    "cdivision": True,
    "auto_pickle": False,
    "autotestdict": False,
    "freethreading_compatible": True,
    "binding": False,
    "boundscheck": False,
    "nonecheck": False,
    "initializedcheck": False,
}


def built(name: str) -> Path:
    return HERE / f"{name}{SUFFIX}"


def is_current(name: str) -> bool:
    target = built(name)
    return target.exists() and target.stat().st_mtime >= (HERE / f"{name}.pyx").stat().st_mtime


def package_folder() -> Path | None:
    """The measured package itself: `cimport jobqueue` finds its declarations there."""
    spec = importlib.util.find_spec("jobqueue")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).resolve().parent


def build(name: str, where: Path | None = None) -> Path:
    """Compiles one extension into `where` (default: beside its source) and returns its path."""
    cythonize = importlib.import_module("Cython.Build").cythonize
    setuptools: Any = importlib.import_module("setuptools")
    with tempfile.TemporaryDirectory(prefix="floor-") as scratch:
        folder = Path(scratch)
        source = shutil.copy(HERE / f"{name}.pyx", folder)
        package = package_folder()
        # An installed package may lack the C header of its declarations; this tree has it.
        headers = [str(package), str(HERE.parents[1] / "src" / "jobqueue")] if package else []
        extensions = cythonize(
            [
                setuptools.Extension(
                    name, [source], include_dirs=headers, extra_compile_args=["-O3", "-g0"]
                )
            ],
            compiler_directives=DIRECTIVES,
            include_path=[str(package.parent)] if package else [],
            quiet=True,
        )
        command = setuptools.Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
        command.build_lib = str(folder / "lib")
        command.build_temp = str(folder / "temp")
        command.ensure_finalized()
        command.run()
        target = (where or HERE) / f"{name}{SUFFIX}"
        # Replaced whole: a copy into a file that is loaded would crash the process that uses it.
        fresh = target.with_name(f"{target.name}.new")
        shutil.copy(folder / "lib" / f"{name}{SUFFIX}", fresh)
        fresh.replace(target)
    return target


@functools.cache
def load_wheel_loop() -> ModuleType:
    """The loop over the native wheel, built for the jobqueue that is imported here.

    Built anew in each process: it depends on the layout of that jobqueue's structs.

    Raises:
        Exception: whatever keeps it from being built: no compiler, or other declarations.
    """
    with tempfile.TemporaryDirectory(prefix="wheel-loop-") as scratch:
        path = build("_wheel_loop", Path(scratch))
        spec = importlib.util.spec_from_file_location("_wheel_loop", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def main() -> int:
    print(build("_floor").name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
