"""Linearizability as a command: ``make linearize HISTORIES=…``."""

import argparse
import sys
from random import Random, SystemRandom

from tests.linearize.history import first_unexplained

BLOCK = 1000


def main() -> int:
    parser = argparse.ArgumentParser(prog="make linearize")
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"make linearize SEED={seed} HISTORIES={options.histories}", flush=True)
    rng = Random(seed)
    for done in range(0, options.histories, BLOCK):
        history = first_unexplained(rng, min(BLOCK, options.histories - done))
        if history is not None:
            print(f"no order explains\n{history}")
            return 1
        print(f"{min(done + BLOCK, options.histories):>9,} histories explained", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
