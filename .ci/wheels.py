"""A wheel for each CPython on this machine: built from the sdist, repaired, inspected, and tested.

What is tested is what a user gets: a fresh environment with the wheel and the test suite, in the
unpacked sdist from which src was removed. PYTHONS="/path/to/python3.12 …" names interpreters;
without it, those of PATH and of pyenv are used, the newest of each version.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build/wheels"
TREE = BUILD / "tree"
TOOLS = Path(sys.executable).parent
STRICT = ["-X", "dev", "-W", "error"]
PIP = ["-m", "pip", "--disable-pip-version-check", "--quiet"]
OLDEST = (3, 11)

# What an interpreter is: its version and build, or nothing if it cannot build the package.
DESCRIBE = """
import ensurepip, os, sys, sysconfig
header = os.path.join(sysconfig.get_path("include"), "Python.h")
threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
if sys.implementation.name == "cpython" and os.path.exists(header):
    print("%d.%d%s %d" % (*sys.version_info[:2], threads, sys.version_info[2]))
"""


def run(*command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] = os.environ) -> None:
    """Run a command; end with its exit status if it fails."""
    done = subprocess.run([str(part) for part in command], check=False, cwd=cwd, env=env)
    if done.returncode:
        sys.exit(done.returncode)


def interpreters() -> dict[str, Path]:
    """Paths of what builds and tests, by version: 3.11, 3.13t."""
    named = [Path(path) for path in os.environ.get("PYTHONS", "").split()]
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    folders += sorted((Path.home() / ".pyenv/versions").glob("*/bin"))
    found: dict[str, tuple[int, Path]] = {}
    for path in named or [python for folder in folders for python in folder.glob("python3*")]:
        if not re.fullmatch(r"python3(\.\d+t?)?", path.name):
            continue
        asked = subprocess.run([path, "-c", DESCRIBE], capture_output=True, text=True, check=False)
        version, _, micro = asked.stdout.strip().partition(" ")
        numbers = tuple(int(part) for part in version.rstrip("t").split(".") if part)
        if numbers >= OLDEST and int(micro) > found.get(version, (-1, path))[0]:
            found[version] = int(micro), path
    return {version: found[version][1] for version in sorted(found)}


def sdist() -> Path:
    """Build the source distribution, unpack it, and take its sources away."""
    shutil.rmtree(BUILD, ignore_errors=True)
    run(TOOLS / "python", "-m", "build", "--sdist", "--outdir", BUILD, ROOT)
    (made,) = BUILD.glob("*.tar.gz")
    with tarfile.open(made) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(BUILD, filter="data")
    for needed in ("tests/conftest.py", "LICENSE", "Makefile", "src/jobqueue/_core.pyx"):
        assert needed in names, f"{needed} is not in the sdist"
    assert not [name for name in names if name.endswith((".c", ".so", ".pyc"))]
    (BUILD / made.name.removesuffix(".tar.gz")).rename(TREE)
    shutil.rmtree(TREE / "src")
    return made


def inspect(wheel: Path) -> None:
    """A wheel has modules, stubs and the marker of typing: no source, no test."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "jobqueue/py.typed" in names
    native = {name.split(".")[0] for name in names if name.endswith((".so", ".pyd"))}
    assert len(native) >= 10  # noqa: PLR2004 - the core has some more than that
    assert {f"{module}.pyi" for module in native} <= names, "a stub is missing"
    rest = {name for name in names if name.endswith((".c", ".h", ".pyx", ".pxd", ".pyc"))}
    assert not rest, rest
    assert all(name.startswith(("jobqueue/", "jobqueue-")) for name in names)
    run(TOOLS / "check-wheel-contents", wheel)
    run(TOOLS / "twine", "check", "--strict", wheel)


def environment(python: Path, *name: str) -> Path:
    """An empty virtual environment with a pip that knows dependency groups; its interpreter."""
    room = BUILD.joinpath(*name)
    run(python, "-m", "venv", "--clear", room)
    run(room / "bin/python", *PIP, "install", "--upgrade", "pip>=25.1")
    return room / "bin/python"


def wheel(version: str, python: Path, source: Path) -> Path:
    """Build where nothing is installed but what pip fetches for it, and repair."""
    raw = BUILD / "raw" / version
    empty = environment(python, "empty", version)
    run(empty, *PIP, "wheel", "--no-deps", "--wheel-dir", raw, source)
    (built,) = raw.glob("*.whl")
    target = BUILD / "dist" / version
    if sys.platform == "linux":
        path = {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
        run(TOOLS / "auditwheel", "repair", "-w", target, built, env=os.environ | path)
    else:
        shutil.copytree(raw, target)
    (repaired,) = target.glob("*.whl")
    inspect(repaired)
    return repaired


def test(version: str, python: Path, made: Path) -> None:
    """Install the wheel into a fresh environment, and run the suite there."""
    inside = environment(python, "room", version)
    run(inside, *PIP, "install", f"{made}[demo]")
    run(inside, *PIP, "install", "--prefer-binary", "--group", "test", cwd=TREE)
    options = ["-q", "-p", "no:cacheprovider", "-m", "not stress", *sys.argv[1:]]
    run(inside, *STRICT, "-m", "pytest", *options, cwd=TREE)


def main() -> None:
    """The whole way for each interpreter; the first failure ends it."""
    source = sdist()
    run(TOOLS / "twine", "check", "--strict", source)
    pythons = interpreters()
    made = []
    for version, python in pythons.items():
        print(f"---- {version}: {python}", flush=True)
        made.append(wheel(version, python, source))
        test(version, python, made[-1])
    for each in made:
        print(f"built, repaired, inspected and tested: {each.relative_to(ROOT)}")
    assert made, "no CPython here that is new enough, with headers and venv"


if __name__ == "__main__":
    main()
