"""The simulator as a command, ``make sim``; a failure prints the line that replays it."""

import argparse
import multiprocessing
import signal
import sys
from random import Random, SystemRandom

from tests.progress import progress
from tests.sim.shrink import shrink
from tests.sim.world import EPISODE_STEPS, Divergence, Setting, Step, World, replay, run

SHOWN = 12
"""Steps of a run that failed, if they cannot be made fewer."""


def episode(seed: int, number: int, steps: int = EPISODE_STEPS) -> World:
    """One world, from its setting to its end."""
    rng = Random(f"{seed} {number}")
    return run(rng, Setting.drawn(rng), steps)


def attempt(work: tuple[int, int]) -> tuple[int, int, bool]:
    """(episode, steps, whether it was clean), in a process of its own."""
    try:
        return work[1], len(episode(*work).steps), True
    except Divergence as error:
        return work[1], len(error.world.steps), False


def kind_of(message: str | None) -> str | None:
    """What differs, without the values."""
    return message and message.split(":")[0]


def shortened(error: Divergence) -> tuple[str, list[Step]]:
    """The message and the steps of the shortest run that fails in the same way."""
    setting, steps = error.world.setting, error.world.steps
    kind = kind_of(replay(setting, steps))
    if kind is None:
        return f"{error} (not when replayed)", steps[-SHOWN:]
    steps = shrink(steps, lambda fewer: kind_of(replay(setting, fewer)) == kind)
    return replay(setting, steps) or "", steps


def explain(seed: int, number: int) -> None:
    """Show an episode that fails, made short."""
    try:
        steps = len(episode(seed, number).steps)
    except Divergence as error:
        print(f"\nepisode {number}, step {len(error.world.steps)}: {error}")
        message, fewer = shortened(error)
        print(f"\nThe shortest, with {error.world.setting}:")
        for step in fewer:
            print(f"    {step}")
        print(f"{message}\n\nreplay: make sim SEED={seed} EPISODE={number}")
    else:
        print(f"episode {number} of seed {seed}: clean, {steps} steps")


def simulate(seed: int, ops: int, jobs: int) -> bool:
    """Episodes until ``ops`` steps are done, or one fails. Whether all were clean."""
    done, last = 0, -1
    ignore = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the processes leave Ctrl-C to this one
    with multiprocessing.Pool(jobs) as pool, progress("steps", ops) as tell:
        signal.signal(signal.SIGINT, ignore)
        work = ((seed, number) for number in range(-(-ops // EPISODE_STEPS) * 2))
        try:
            for number, steps, clean in pool.imap(attempt, work):
                done, last = done + steps, number
                if not clean:
                    explain(seed, number)
                    return False
                if done >= ops:
                    break
                tell(done)
        except KeyboardInterrupt:
            print(f"\ninterrupted: seed {seed}, episode {last}, {done:,} steps, all clean")
            return True
    print(f"{done:,} steps in {last + 1} episodes of seed {seed}: clean")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="make sim")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--ops", type=int, default=200_000)
    parser.add_argument("--episode", type=int, default=None, help="only this one")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    seed = SystemRandom().randrange(2**32) if options.seed is None else options.seed
    if options.episode is not None:
        explain(seed, options.episode)
        return 0
    print(f"make sim SEED={seed} OPS={options.ops}", flush=True)
    return 0 if simulate(seed, options.ops, options.jobs) else 1


if __name__ == "__main__":
    sys.exit(main())
