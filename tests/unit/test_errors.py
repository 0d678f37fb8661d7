"""The errors: their family, their messages, and that they travel."""

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import jobqueue
from jobqueue import Controller, Job, JobQueueError, ValidationError, errors
from jobqueue.testing import ManualClock

PLAIN = [
    "DuplicateJobError",
    "DuplicateResultError",
    "LeaseExpiredError",
    "MaxAttemptsReachedError",
    "AlreadyLeasedError",
    "AlreadyProcessedError",
    "EnqueueError",
    "NotFoundError",
    "WaitTimeoutError",
    "QueueOutOfSyncError",
    "DuplicateError",
    "ClosedError",
]
RULES = [
    "InvalidIDError",
    "InvalidNameError",
    "InvalidPayloadError",
    "InvalidResultError",
    "InvalidMaxAttemptsError",
    "InvalidMaxFailsError",
    "InvalidPriorityError",
    "InvalidTTRError",
    "InvalidTTLError",
    "InvalidTimeError",
    "InvalidTimeoutError",
]


@pytest.mark.parametrize("name", [*PLAIN, *RULES, "JobQueueError", "ValidationError"])
def test_public_and_of_the_family(name: str) -> None:
    error = getattr(jobqueue, name)
    assert error is getattr(errors, name)
    assert issubclass(error, JobQueueError)
    assert issubclass(JobQueueError, Exception)
    assert error.__name__ == name
    assert error.__doc__


@pytest.mark.parametrize("name", PLAIN)
def test_plain_errors_are_no_validation_errors(name: str) -> None:
    assert not issubclass(getattr(jobqueue, name), ValidationError)


@pytest.mark.parametrize("name", RULES)
def test_rules(name: str) -> None:
    error = getattr(jobqueue, name)
    assert issubclass(error, ValidationError)
    assert issubclass(error, ValueError)
    assert not issubclass(error, TypeError)


def test_built_in_relatives() -> None:
    assert issubclass(ValidationError, ValueError)
    assert issubclass(jobqueue.NotFoundError, LookupError)
    assert issubclass(jobqueue.WaitTimeoutError, TimeoutError)
    assert not issubclass(jobqueue.NotFoundError, ValueError)


def test_no_two_rules_are_one() -> None:
    for name in RULES:
        for other in RULES:
            if name != other:
                assert not issubclass(getattr(jobqueue, name), getattr(jobqueue, other))


@pytest.mark.parametrize("name", [*PLAIN, *RULES])
def test_they_travel(name: str) -> None:
    error = getattr(jobqueue, name)("what happened")
    error.index = 7
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(back) is type(error)
        assert str(back) == "what happened"
        assert back.index == 7


def test_index_is_none_outside_batches() -> None:
    assert jobqueue.NotFoundError("x").index is None


def caught(call: Callable[..., Any], *args: Any, **kwargs: Any) -> JobQueueError:
    """The error that a call raises."""
    with pytest.raises(JobQueueError) as info:
        call(*args, **kwargs)
    return info.value


LIMITS: list[tuple[Callable[[], Any], list[str]]] = [
    (lambda: Job(""), ["''", "255"]),
    (lambda: Job("a b"), ["'a b'"]),
    (lambda: Job("x" * 300), ["300", "255"]),
    (lambda: Job("a", bytes(1_048_577)), ["1048577", "1048576"]),
    (lambda: Job("a", priority=2**31), ["2147483648", "2147483647"]),
    (lambda: Job("a", priority=-(2**31) - 1), ["-2147483649", "-2147483648"]),
    (lambda: Job("a", ttr=0), ["0", "1", "86400000"]),
    (lambda: Job("a", ttr=86_400_001), ["86400001", "86400000"]),
    (lambda: Job("a", ttl=-5), ["-5", "1", "2592000000"]),
    (lambda: Job("a", ttl=2_592_000_001), ["2592000001", "2592000000"]),
    (lambda: Job("a", ttr=timedelta(days=2)), ["days=2", "86400000"]),
    (lambda: Job("a", max_attempts=256), ["256", "255"]),
    (lambda: Job("a", max_fails=-1), ["-1", "255"]),
    (lambda: Job("a", time=datetime(2026, 1, 1)), ["2026, 1, 1"]),
    (lambda: Job("a", id="nonsense"), ["'nonsense'"]),
    (lambda: Job("a", id=b"short"), ["16", "5"]),
    (lambda: Job("a", ttr=1.5), ["1.5", "float", "ms"]),
    (lambda: Job("a", ttl=True), ["True", "bool"]),
    (lambda: Job(5), ["5", "int", "str"]),
    (lambda: Job("a", "text"), ["'text'", "str", "bytes"]),
    (lambda: jobqueue.validate_timeout(-1), ["-1", "0", "86400000"]),
    (lambda: jobqueue.validate_result(bytes(1_048_577)), ["1048577", "1048576"]),
]


@pytest.mark.parametrize("index", range(len(LIMITS)))
def test_messages_name_the_value_and_the_limit(index: int) -> None:
    call, parts = LIMITS[index]
    text = str(caught(call)).replace("_", "").replace(" 1 048 576", " 1048576")
    for part in parts:
        assert part in text, text


def test_messages_of_huge_values_are_short() -> None:
    for call in (
        lambda: Job("é" * 10**6),
        lambda: Job("a", "é" * 10**6),
        lambda: Job("a", priority=10**4000),
        lambda: Job("a", id="x" * 10**6),
        lambda: Job("a", ttr=[0] * 10**6),
    ):
        assert len(str(caught(call))) < 300


class HostileRepr:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_messages_of_hostile_values() -> None:
    hostile = HostileRepr()
    for name in ("payload", "id", "priority", "ttr", "ttl", "max_attempts", "max_fails", "time"):
        error = caught(Job, "a", **{name: hostile})
        assert "HostileRepr" in str(error)
    assert "HostileRepr" in str(caught(Job, hostile))


def test_huge_ints_do_not_break_the_message() -> None:
    """repr of an int beyond 4300 digits raises ValueError."""
    for value in (10**5000, -(10**5000)):
        for name in ("priority", "ttr", "ttl", "max_attempts", "max_fails"):
            assert name in str(caught(Job, "a", **{name: value}))


def test_messages_of_a_controller() -> None:
    clock = ManualClock()
    with Controller(clock=clock) as c:
        job = Job("a", max_attempts=1)
        text = str(job.id)
        assert text in str(caught(c.complete, job))
        assert text in str(caught(c.delete, job))
        c.add(job)
        assert text in str(caught(c.add, job))
        assert text in str(caught(c.touch, job))
        assert text in str(caught(c.complete, job, attempt=1))
        c.lease("a", 0)
        assert text in str(caught(c.start_attempt, job))
        error = caught(c.complete, job, attempt=7)
        assert text in str(error)
        c.release(job)
        error = caught(c.start_attempt, job)
        assert type(error) is jobqueue.MaxAttemptsReachedError
        assert text in str(error)
        assert text in str(caught(c.complete, job))
        assert text in str(caught(c.start_attempt, job))
        assert "'mail'" in str(caught(c.lease, "mail", 0))
        assert "'b'" in str(caught(c.lease, ["mail", "b"], 0))
        assert str(caught(c.schedule, Job("a")))
        old = Job("a", ttl=1, created=datetime(2020, 1, 1, tzinfo=UTC))
        assert str(old.id) in str(caught(c.add, old))
    assert "closed" in str(caught(c.stats))
