"""The long forms of the faults, ``make faults``: power cuts, flipped bits, failing calls."""

import argparse
import multiprocessing
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.cmdlog.test_damage import SHAPES, cut_everywhere, flip_bits
from tests.cmdlog.test_faults import fail_once, power_cut, power_cut_later
from tests.progress import progress

FLIPS = 2000
"""Bits that are flipped in one log."""


def power(seed: str) -> Counter[str]:
    power_cut(seed)
    power_cut_later(seed)
    return Counter({"power cuts": 2})


def flips(seed: str) -> Counter[str]:
    rng = random.Random(seed)
    counts = flip_bits(rng, seed, FLIPS, rng.choice(SHAPES[:3]))
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
    shape = random.Random(seed).choice(SHAPES)
    return Counter({"logs": 1, "cuts at a byte": cut_everywhere(seed, 40, shape)})


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


def run(kind: str, work: list[tuple[str, str]], seconds: float | None, jobs: int) -> bool:
    """Cases of a kind until all are done or the time is over. Whether nobody interrupted them."""
    found: Counter[str] = Counter()
    began = time.monotonic()
    ignore = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the processes leave Ctrl-C to this one
    with multiprocessing.Pool(jobs) as pool, progress(kind, len(work)) as tell:
        signal.signal(signal.SIGINT, ignore)
        try:
            for done, counts in enumerate(pool.imap_unordered(one, work), 1):
                found.update(counts)
                tell(done)
                if seconds is not None and time.monotonic() - began > seconds:
                    break  # what is left of the work ends with the pool
        except KeyboardInterrupt:
            print(f"\ninterrupted: {dict(found)}, all clean")
            return False
    figures = ", ".join(f"{count:,} {what}" for what, count in found.items())
    print(f"{figures}, in {time.monotonic() - began:.0f} s", flush=True)
    return True


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
    for kind in options.kind or KINDS:
        work = [(kind, f"{seed} {number}") for number in range(options.cases)]
        try:
            if not run(kind, work, options.seconds, options.jobs):
                break
        except RuntimeError as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
