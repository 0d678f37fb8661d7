"""The public validators: each returns None, or raises the error of the rule that is broken.

The context-free rules stand in rules.pyx, once; a Job that breaks one cannot be built. What is
checked here on top is what depends on the time of the call.
"""

from datetime import datetime
from typing import cast

from . import errors
from ._objects import job as ids
from ._objects import rules
from ._objects.job import Job
from ._structures import system

__all__ = [
    "validate_add_job",
    "validate_id",
    "validate_name",
    "validate_payload",
    "validate_result",
    "validate_run_job",
    "validate_schedule_job",
    "validate_time",
    "validate_timeout",
    "validate_ttl",
    "validate_ttr",
    "validate_unique",
]


def validate_id(id: object) -> None:
    """An id in any form: ID, UUID of version 4, canonical str, 16 bytes, or Job.

    Raises InvalidIDError.
    """
    ids.check_id(id)


def validate_name(name: object) -> None:
    """A str of 1 to 255 of ``A-Z a-z 0-9 _ . -``. Raises InvalidNameError.

    >>> validate_name("mail.send")
    >>> validate_name("no spaces")
    Traceback (most recent call last):
    jobqueue.errors.InvalidNameError: name must be 1 to 255 of A-Z a-z 0-9 _ . -, not 'no spaces'
    """
    rules.check_name(name)


def validate_payload(payload: object) -> None:
    """Bytes-like, at most 1 048 576 bytes. Raises InvalidPayloadError."""
    rules.check_payload(payload)


def validate_result(result: object) -> None:
    """Bytes-like, at most 1 048 576 bytes. Raises InvalidResultError."""
    rules.check_result(result)


def validate_ttr(ttr: object) -> None:
    """1 to 86 400 000 ms, or a timedelta. Raises InvalidTTRError."""
    rules.check_ttr(ttr)


def validate_ttl(ttl: object) -> None:
    """1 to 2 592 000 000 ms, or a timedelta. Raises InvalidTTLError."""
    rules.check_ttl(ttl)


def validate_timeout(timeout: object) -> None:
    """0 to 86 400 000 ms, or a timedelta. Raises InvalidTimeoutError."""
    rules.check_timeout(timeout)


def validate_unique(unique: object) -> None:
    """Bytes-like, 1 to 255 bytes. Raises InvalidUniqueError."""
    rules.check_unique(unique)


def validate_time(time: object) -> None:
    """An aware datetime that is not past. Raises InvalidTimeError.

    >>> from datetime import datetime
    >>> validate_time(datetime(2026, 1, 1))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    jobqueue.errors.InvalidTimeError: time must have a timezone, but ... is naive
    """
    _check_not_past(rules.check_time(time), cast("datetime", time), "time")


def validate_add_job(job: object) -> None:
    """A Job that would not be expired at once. Raises InvalidTimeError, or TypeError."""
    expiration = _job_of(job).expiration
    _check_not_past(rules.check_time(expiration), expiration, "expiration")


def validate_schedule_job(job: object) -> None:
    """A Job with a time, not expired by now. Raises InvalidTimeError, or TypeError."""
    if _job_of(job).time is None:
        raise errors.InvalidTimeError(f"a scheduled job must have a time: {job!r}")
    validate_add_job(job)


def validate_run_job(job: object) -> None:
    """A Job: a run has no TTL, so nothing depends on the time. Raises TypeError."""
    _job_of(job)


def _job_of(value: object) -> Job:
    if type(value) is not Job:
        raise TypeError(errors.no_job_text(value))
    return value


def _check_not_past(time_ns: int, time: datetime, what: str) -> None:
    # A datetime has microseconds: a time of this very microsecond is not past.
    if time_ns + 1000 <= system.wall_ns():
        raise errors.InvalidTimeError(f"{what} must not be past, but {time.isoformat()} is")
