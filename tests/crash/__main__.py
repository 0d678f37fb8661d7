"""kill -9 in a loop, ``make crash CYCLES=10000``: nothing that was acknowledged is lost."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.cycle import Book, cycle
from tests.progress import progress

LOG_CYCLES = 100
"""Cycles of one log."""


def run(cycles: int, seconds: float | None, sync: str | None, rng: random.Random) -> None:
    """Cycles until so many are done or the time is over."""
    began = time.monotonic()
    done = calls = 0
    try:
        with progress("cycles", cycles) as tell:
            while done < cycles:
                book = Book()
                mode = sync or rng.choice(("always", "interval", "os"))
                with tempfile.TemporaryDirectory() as path:
                    for _ in range(min(LOG_CYCLES, cycles - done)):
                        cycle(Path(path, "log"), mode, book, rng)
                        done += 1
                        tell(done)
                        if seconds is not None and time.monotonic() - began > seconds:
                            cycles = done
                            break
                calls += book.calls
    except KeyboardInterrupt:
        print(f"\ninterrupted after {done:,} cycles, all whole")
        return
    took = time.monotonic() - began
    print(f"{done:,} cycles in {took:.0f} s: {calls:,} acknowledged calls, none lost")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make crash")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=None, help="stop after so many")
    parser.add_argument("--sync", choices=("always", "interval", "os"), default=None)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"make crash SEED={seed} CYCLES={options.cycles}", flush=True)
    run(options.cycles, options.seconds, options.sync, random.Random(seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
