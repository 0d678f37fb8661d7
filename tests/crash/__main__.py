"""kill -9 in a loop, ``make crash CYCLES=10000``: nothing that was acknowledged is lost."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.cycle import Book, cycle

PROGRESS_S = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make crash")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=None, help="stop after so many")
    parser.add_argument("--sync", choices=("always", "interval", "os"), default=None)
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"make crash SEED={seed} CYCLES={options.cycles}", flush=True)
    rng = random.Random(seed)
    began = shown = time.monotonic()
    done = calls = 0
    try:
        while done < options.cycles:
            book = Book()
            sync = options.sync or rng.choice(("always", "interval", "os"))
            with tempfile.TemporaryDirectory() as path:
                for _ in range(min(100, options.cycles - done)):
                    cycle(Path(path, "log"), sync, book, rng)
                    done += 1
                    now = time.monotonic()
                    if now - shown > PROGRESS_S:
                        shown = now
                        print(f"{done:>8,} of {options.cycles:,} cycles", flush=True)
                    if options.seconds is not None and now - began > options.seconds:
                        options.cycles = done
                        break
            calls += book.calls
    except KeyboardInterrupt:
        print(f"\ninterrupted after {done:,} cycles of seed {seed}, all whole")
        return 0
    print(f"{done:,} cycles of seed {seed}: {calls:,} acknowledged calls, none lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
