"""Histories: calls from three threads at once, and the search for an order that explains them.

A history is linearizable (Herlihy, Wing 1990) if its calls, put in some order, give the same
results on the model, one after the other; a call that returned before another began must come
before it. The search is by brute force: with the order within each thread given, eight calls have
at most 560 orders.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from jobqueue import Controller
from jobqueue.testing import ManualClock
from jobqueue.testing.model import ModelController, view_of
from jobqueue.testing.model.parts import Queues
from tests.sim.sides import EngineSide, ModelSide, New, Old, Side
from tests.sim.world import Step

THREADS = 3
CALLS = 8
JOBS = 3


@dataclass
class Call:
    """One call of a history. Its times are places in the order of all begins and ends."""

    thread: int
    step: Step
    began: int = 0
    ended: int = 0
    outcome: Any = None

    def __repr__(self) -> str:
        return f"thread {self.thread} [{self.began:2}-{self.ended:2}] {self.step} -> {self.outcome}"


@dataclass
class History:
    """What was done before, by one thread; the calls of all; what was there at the end."""

    before: list[Step]
    calls: list[Call]
    end: Any = None
    jobs: list[New] = field(default_factory=list)

    def __str__(self) -> str:
        calls = sorted(self.calls, key=lambda call: call.began)
        return "\n".join(map(str, [*self.jobs, *self.before, *calls, self.end]))


# ---------------------------------------------------------------- making one


def drawn(rng: Random, verbs: Sequence[str]) -> History:
    """A random history that has not happened yet: few jobs, so that its calls meet."""
    jobs = [
        New(
            number,
            "a",
            (
                ("priority", rng.randrange(2)),
                ("max_attempts", rng.randrange(3)),
                ("max_fails", rng.randrange(3)),
                ("unique", rng.choice((None, None, b"k"))),
            ),
        )
        for number in range(1, JOBS + 1)
    ]
    before = [Step("add", {"job": Old(number)}) for number in range(1, rng.randrange(1, JOBS + 1))]
    if before and rng.random() < 0.5:
        before.append(Step("lease", {"names": "a", "timeout": 0}))
    calls = [
        Call(rng.randrange(THREADS), step_of(rng, rng.choice(verbs)))
        for _ in range(rng.randrange(2, CALLS + 1))
    ]
    return History(before, calls, jobs=jobs)


ARGUMENTS: dict[str, Callable[[Random, Old, Old], dict[str, Any]]] = {
    "add": lambda _, job, __: {"job": job},
    "add_many": lambda _, job, other: {"jobs": [job, other]},
    "lease": lambda *_: {"names": "a", "timeout": 0},
    "lease_many": lambda *_: {"names": "a", "n": 2, "timeout": 0},
    "complete_many": lambda _, job, other: {"pairs": [(job, b"1"), (other, b"2")]},
    "delete_many": lambda _, job, other: {"ids": [job, other]},
    "result": lambda _, job, __: {"id": job, "timeout": 0},
    "stats": lambda *_: {},
    **dict.fromkeys(("pause", "resume", "peek", "jobs", "dead"), lambda *_: {"name": "a"}),
    **dict.fromkeys(
        ("complete", "fail", "touch", "release"),
        lambda rng, job, _: {"id": job, "attempt": rng.choice((None, None, 1, 2))},
    ),
    **dict.fromkeys(
        ("start_attempt", "kick", "cancel", "delete", "expire", "timeout_attempt"),
        lambda _, job, __: {"id": job},
    ),
}
VERBS = (*ARGUMENTS, "add", "lease")
"""These two more often: all others need them."""


def step_of(rng: Random, verb: str) -> Step:
    job, other = (Old(rng.randrange(1, JOBS + 1)) for _ in range(2))
    return Step(verb, ARGUMENTS[verb](rng, job, other))


@contextmanager
def hasty_switches() -> Iterator[None]:
    """Threads that want the GIL get it as soon as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def happen(
    history: History,
    *,
    foreign: bool = False,
    engine: Callable[..., Any] = Controller,
) -> None:
    """Let the calls of a history happen, each on its thread, all threads at once."""
    clock = ManualClock()
    made = engine(queues=Queues() if foreign else None, clock=clock)
    side = EngineSide(made, clock)
    begin(side, history)
    times = count(1)
    start = threading.Barrier(THREADS)

    def work(thread: int) -> None:
        mine = [(call, bound(side, call.step)) for call in history.calls if call.thread == thread]
        start.wait()
        for call, do in mine:
            call.began = next(times)
            outcome = side.outcome(do)
            call.ended = next(times)
            call.outcome = outcome

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history.end = view_of(made)
    made._check()
    made.close()


def begin(side: Side, history: History) -> None:
    for job in history.jobs:
        side.make(job)
    for step in history.before:
        side.outcome(bound(side, step))


def bound(side: Side, step: Step) -> Callable[[], Any]:
    """A step as a function that only makes the call."""
    arguments = {key: side.make(value) for key, value in step.arguments.items()}
    method = getattr(side.engine, step.verb)
    return lambda: method(**arguments)


# ---------------------------------------------------------------- explaining one


def explain(history: History) -> list[Call] | None:
    """An order of the calls that gives the same results on the model, or None."""
    lines = [[c for c in history.calls if c.thread == thread] for thread in range(THREADS)]

    def search(order: list[Call]) -> list[Call] | None:
        heads = [
            line[done]
            for line in lines
            if (done := sum(call in order for call in line)) < len(line)
        ]
        if not heads:
            return order if view_of(replayed(history, order).engine) == history.end else None
        first_end = min(call.ended for call in heads)
        for call in heads:
            if call.began < first_end or call.ended == first_end:
                side = replayed(history, order)
                if side.outcome(bound(side, call.step)) == call.outcome:
                    found = search([*order, call])
                    if found is not None:
                        return found
        return None

    return search([])


def replayed(history: History, order: list[Call]) -> ModelSide:
    """The model after these calls."""
    clock = ManualClock()
    side = ModelSide(ModelController(clock=clock), clock)
    begin(side, history)
    for call in order:
        side.outcome(bound(side, call.step))
    return side


def first_unexplained(rng: Random, histories: int, **engine: Any) -> History | None:
    """The first of so many random histories that no order explains."""
    with hasty_switches():
        for _ in range(histories):
            history = drawn(rng, VERBS)
            happen(history, foreign=rng.random() < 0.5, **engine)
            if explain(history) is None:
                return history
    return None
