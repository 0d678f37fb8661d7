"""The long forms of the faults, ``make faults``: power cuts, flipped bits, failing calls."""

import argparse
import multiprocessing
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.cmdlog.test_damage import cut_everywhere, flip_bits
from tests.cmdlog.test_faults import fail_once, power_cut, power_cut_later

PROGRESS_S = 5.0
FLIPS = 2000
"""Bits that are flipped in one log."""


def power(seed: str) -> Counter[str]:
    power_cut(seed)
    power_cut_later(seed)
    return Counter({"power cuts": 2})


def flips(seed: str) -> Counter[str]:
    counts = flip_bits(random.Random(seed), seed, FLIPS)
    return Counter({"flipped bits": FLIPS, **{f"of them {k}": v for k, v in counts.items()}})


def calls(seed: str) -> Counter[str]:
    found = 0
    for failing in (False, True):
        at = 1
        while at < 200 and fail_once(seed, at, failing=failing):
            at += 1
        found += at - 1
    return Counter({"failing calls": found})


def cuts(seed: str) -> Counter[str]:
    return Counter({"cuts at a byte": cut_everywhere(seed, 40)})


KINDS: dict[str, Callable[[str], Counter[str]]] = {
    "power": power,
    "flips": flips,
    "calls": calls,
    "cuts": cuts,
}


def one(work: tuple[str, str]) -> Counter[str]:
    """A case, in a process of its own; its seed is in the error, if it fails."""
    kind, seed = work
    try:
        return KINDS[kind](seed)
    except BaseException as error:
        raise RuntimeError(f"{kind}, seed {seed!r}: {error!r}") from error


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--cases", type=int, default=2000, help="of each kind; of power, two cuts")
    parser.add_argument("--seconds", type=float, default=None, help="of each kind, at most")
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    print(f"make faults SEED={seed} CASES={options.cases}", flush=True)
    ignore = signal.getsignal(signal.SIGINT)  # the processes leave Ctrl-C to this one
    for kind in options.kind or KINDS:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with multiprocessing.Pool(options.jobs) as pool:  # what is left of it ends with the kind
            signal.signal(signal.SIGINT, ignore)
            found: Counter[str] = Counter()
            began = shown = time.monotonic()
            work = [(kind, f"{seed} {number}") for number in range(options.cases)]
            try:
                for done, counts in enumerate(pool.imap_unordered(one, work), 1):
                    found.update(counts)
                    now = time.monotonic()
                    if now - shown > PROGRESS_S:
                        shown = now
                        print(f"{kind}: {done:,} of {options.cases:,}", flush=True)
                    if options.seconds is not None and now - began > options.seconds:
                        break
            except KeyboardInterrupt:
                print(f"\ninterrupted: {dict(found)}, all clean")
                return 0
            except RuntimeError as error:
                print(f"failed: {error}", file=sys.stderr)
                return 1
            print(", ".join(f"{count:,} {what}" for what, count in found.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
