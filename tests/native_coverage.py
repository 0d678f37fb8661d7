"""Line coverage of the native code, from the counters that a build with COVERAGE=1 leaves behind.

gcov counts what the processor does, so nothing runs between two lines: a tracer, called at each
line, would let go of the GIL in the middle of transitions, and threads would see them half done.
The C files name the lines of the Cython code that they come from (``#line``).

    python -m tests.native_coverage build/coverage

As a plugin of coverage.py it sees that forked children leave their counts behind too.
"""

import ctypes
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final, NoReturn

import coverage

MARKER: Final = re.compile(r'^#line (\d+) "(.*)"$', re.MULTILINE)
SUFFIXES: Final = {".pyx", ".pxd", ".h"}

Lines = dict[int, int]
"""How often each line that has code was executed."""


def coverage_init(registry: object, options: object) -> None:
    """Let os._exit end a process as C's exit does, which writes the counters."""
    libc_exit = ctypes.CDLL(None).exit

    def exit_counted(status: int) -> NoReturn:
        running = coverage.Coverage.current()
        if running is not None:
            running.save()
        libc_exit(status)
        raise AssertionError("it has not ended")

    os._exit = exit_counted


def counts_of(counters: Path) -> dict[str, Lines]:
    """What the counters of one module say, by source file."""
    said = subprocess.run(
        ["gcov", "--json-format", "--stdout", counters],
        capture_output=True,
        check=True,
        text=True,
    )
    found: dict[str, Lines] = {}
    for report in said.stdout.splitlines():
        for file in json.loads(report)["files"]:
            lines = found.setdefault(file["file"], defaultdict(int))
            for line in file["lines"]:
                lines[line["line_number"]] += line["count"]
    return found


def marked_lines(sources: Path) -> dict[str, set[int]]:
    """The lines of Cython code that have C code; what follows a marked line in C is not theirs."""
    marked: dict[str, set[int]] = defaultdict(set)
    for path in sources.glob("*.c"):
        for number, name in MARKER.findall(path.read_text("utf-8")):
            marked[Path(name).name].add(int(number))
    return marked


def measure(build: Path) -> dict[str, Lines]:
    """Counts by source file of the package, of all modules together."""
    total: dict[str, Lines] = defaultdict(lambda: defaultdict(int))
    marked = marked_lines(build / "build/cython/src/jobqueue")
    for counters in sorted(build.rglob("*.gcda")):
        for name, lines in counts_of(counters).items():
            path = Path(name)
            if path.suffix not in SUFFIXES or not (build / "src/jobqueue" / path.name).exists():
                continue
            for number, count in lines.items():
                if path.suffix == ".h" or number in marked[path.name]:
                    total[path.name][number] += count
    return total


def ranges(numbers: list[int]) -> str:
    """Numbers as text, runs of them shortened."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


def main(build: Path) -> None:
    """Print a table."""
    measured = measure(build)
    if not measured:
        sys.exit(f"no counters under {build}: was it built with COVERAGE=1, and used?")
    print(f"{'Name':<24} Lines  Miss   Cover   Missing")
    lines_all = missed_all = 0
    for name, lines in sorted(measured.items()):
        missed = sorted(number for number, count in lines.items() if not count)
        cover = 100 * (1 - len(missed) / len(lines))
        print(f"{name:<24} {len(lines):5} {len(missed):5} {cover:6.1f}%   {ranges(missed)}")
        lines_all += len(lines)
        missed_all += len(missed)
    print(f"{'TOTAL':<24} {lines_all:5} {missed_all:5} {100 * (1 - missed_all / lines_all):6.1f}%")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
