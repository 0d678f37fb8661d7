"""Calls from three threads are explained by some order; the search can fail."""

import threading
from random import Random
from typing import Any

import pytest

from jobqueue import AlreadyLeasedError, Controller, Job, WaitTimeoutError
from jobqueue.testing.model import view_of
from tests.linearize.history import (
    Call,
    History,
    explain,
    first_unexplained,
    happen,
    hasty_switches,
    replayed,
)
from tests.sim.sides import New, Old
from tests.sim.world import Step

ADD = Step("add", {"job": Old(1)})
LEASE = Step("lease", {"names": "a", "timeout": 0})
PEEK = Step("peek", {"name": "a"})
NOTHING = ("WaitTimeoutError", None, None)


@pytest.mark.stress
def test_histories_are_linearizable(rng: Random) -> None:
    assert first_unexplained(rng, 500) is None


# ---------------------------------------------------------------- histories by hand


def history(*calls: tuple[int, Step, int, int, Any], order: tuple[int, ...]) -> History:
    """One whose end is that of its calls in this order."""
    made = History([], [Call(*call) for call in calls], jobs=[New(1)])
    made.end = view_of(replayed(made, [made.calls[index] for index in order]).engine)
    return made


def test_calls_at_once_may_have_happened_either_way() -> None:
    for outcome, order in ((Old(1), (0, 1)), (None, (1, 0))):
        assert explain(history((0, ADD, 1, 4, None), (1, PEEK, 2, 3, outcome), order=order))


def test_a_call_that_ended_comes_before_one_that_begins() -> None:
    assert explain(history((0, ADD, 1, 2, None), (1, PEEK, 3, 4, Old(1)), order=(0, 1)))
    assert explain(history((0, ADD, 1, 2, None), (1, PEEK, 3, 4, None), order=(1, 0))) is None


def test_nobody_explains_two_leases_of_a_job() -> None:
    add, one, two = (0, ADD, 1, 2, None), (1, LEASE, 3, 5, Old(1)), (2, LEASE, 4, 6, Old(1))
    assert explain(history(add, one, two, order=(0, 1, 2))) is None
    assert explain(history(add, one, (2, LEASE, 4, 6, NOTHING), order=(0, 1, 2)))


def test_the_end_must_be_explained_too() -> None:
    lost = history((0, ADD, 1, 2, None), order=(0,))
    lost.end = view_of(replayed(lost, []).engine)
    assert explain(lost) is None


# ---------------------------------------------------------------- a planted fault


class LeasesTwice(Controller):
    """Looks, and then takes: two may look before one has taken."""

    meeting = threading.Barrier(2)

    def lease(self, names: Any, timeout: Any) -> Job:
        job = self.peek(names)
        self.meeting.wait(timeout=10)
        if job is None:
            raise WaitTimeoutError("nothing there")
        try:
            self.start_attempt(job)
        except AlreadyLeasedError:
            pass
        return job


def test_catches_an_engine_that_leases_twice() -> None:
    both = History([ADD], [Call(0, LEASE), Call(1, LEASE)], jobs=[New(1)])
    with hasty_switches():
        happen(both, engine=LeasesTwice)
    assert [call.outcome for call in both.calls] == [Old(1), Old(1)]
    assert explain(both) is None


class AddsInTwoSteps(Controller):
    """add_many is no longer one pass."""

    def add_many(self, jobs: Any) -> None:
        for job in list(jobs):
            self.add(job)


def test_catches_a_batch_that_is_no_longer_whole() -> None:
    found = first_unexplained(Random(1), 5000, engine=AddsInTwoSteps)
    assert found is not None
