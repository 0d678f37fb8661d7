"""Every error has a code of its own, and every status its row."""

from collections.abc import Iterator

import pytest

from jobqueue import errors
from jobqueue._engine.status import _statuses
from jobqueue.cmdlog import CommandLogError, DamagedLogError
from jobqueue.errors import JobQueueError


def below(kind: type[JobQueueError]) -> Iterator[type[JobQueueError]]:
    yield kind
    for each in kind.__subclasses__():
        if each.__module__.startswith("jobqueue."):
            yield from below(each)


KINDS = {kind for kind in below(JobQueueError) if not issubclass(kind, TypeError)}
OF_TYPE = {kind for kind in below(JobQueueError) if issubclass(kind, TypeError)}


def test_each_class_has_its_own_code():
    assert {getattr(errors, name) for name in errors.__all__} <= KINDS
    codes = {kind.__dict__["code"] for kind in KINDS}
    assert len(codes) == len(KINDS)
    assert all(code.replace("-", "").isalpha() and code.isupper() for code in codes)


def test_a_wrong_type_breaks_the_same_rule():
    assert OF_TYPE
    assert all(kind.code == kind.__mro__[1].code for kind in OF_TYPE)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.NotFoundError, "NOT-FOUND"),
        (errors.DuplicateJobError, "DUPLICATE-JOB"),
        (errors.LeaseExpiredError, "LEASE-EXPIRED"),
        (errors.QueueFullError, "QUEUE-FULL"),
        (errors.WaitTimeoutError, "TIMEOUT"),
        (errors.ClosedError, "CLOSED"),
        (errors.InvalidTTRError, "INVALID-TTR"),
        (errors.InvalidMaxAttemptsError, "INVALID-MAX-ATTEMPTS"),
        (CommandLogError, "LOG-FAILED"),
        (DamagedLogError, "LOG-DAMAGED"),
    ],
)
def test_codes_of_the_wire(kind, code):
    assert kind.code == code


def test_each_status_has_its_row():
    rows = _statuses()
    assert [number for number, _, _ in rows] == list(range(len(rows)))
    assert all(kind is None or issubclass(kind, Exception) for _, kind, _ in rows)
    assert rows[0][1] is None
    assert all("{}" in text or kind is errors.ClosedError for _, kind, text in rows[1:])
