"""Every error of the package, and the wording of their messages.

A rule that a value breaks has its own class. A value of the wrong *type* raises a class that is
both that rule's error and a ``TypeError`` (``InvalidTTRTypeError`` for ``InvalidTTRError``).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import ClassVar, Final, NoReturn

    from ._objects.job import ID

if "JobQueueError" in globals():
    raise ImportError("jobqueue.errors cannot be reloaded: native modules raise its classes")

__all__ = [
    "AlreadyLeasedError",
    "AlreadyProcessedError",
    "ClosedError",
    "DuplicateError",
    "DuplicateJobError",
    "DuplicateResultError",
    "EnqueueError",
    "InvalidIDError",
    "InvalidMaxAttemptsError",
    "InvalidMaxFailsError",
    "InvalidNameError",
    "InvalidPayloadError",
    "InvalidPriorityError",
    "InvalidResultError",
    "InvalidTTLError",
    "InvalidTTRError",
    "InvalidTimeError",
    "InvalidTimeoutError",
    "InvalidUniqueError",
    "JobQueueError",
    "LeaseExpiredError",
    "MaxAttemptsReachedError",
    "NotDeadError",
    "NotFoundError",
    "QueueFullError",
    "QueueOutOfSyncError",
    "ValidationError",
    "WaitTimeoutError",
]

SHOWN_MAX: Final = 80
"""Characters of a value's repr that a message shows."""
SECONDS_SHOWN: Final = 1e9
"""A float below is told in ms."""


class JobQueueError(Exception):
    """Base of every error that this package raises on purpose.

    ``index`` is the position of the item at fault in a batch call, else None.
    """

    code: ClassVar[str] = "ERROR"
    """What the class is called where it cannot be raised: on a wire, by the command line."""

    index: int | None = None


class DuplicateError(JobQueueError):
    """Something that must be unique is there already."""

    code = "DUPLICATE"


class DuplicateJobError(DuplicateError):
    """A job of this id is in the registry, or an unprocessed one of its name has its key.

    ``first`` is the id of the job that was there, or None if it is not known.
    """

    code = "DUPLICATE-JOB"

    first: ID | None = None


class DuplicateResultError(DuplicateError):
    """The job has its result already."""

    code = "DUPLICATE-RESULT"


class LeaseExpiredError(JobQueueError):
    """The job is not leased, or no longer under the attempt that the caller names."""

    code = "LEASE-EXPIRED"


class MaxAttemptsReachedError(JobQueueError):
    """The job has used up its attempts; it is now FAILED."""

    code = "MAX-ATTEMPTS-REACHED"


class NotDeadError(JobQueueError):
    """The job did not end FAILED: there is nothing to put back."""

    code = "NOT-DEAD"


class AlreadyLeasedError(JobQueueError):
    """The job is leased to somebody."""

    code = "ALREADY-LEASED"


class AlreadyProcessedError(JobQueueError):
    """The job is COMPLETED or FAILED."""

    code = "ALREADY-PROCESSED"


class EnqueueError(JobQueueError):
    """A job could not be put into its queue."""

    code = "ENQUEUE"


class QueueOutOfSyncError(EnqueueError):
    """The queue refused a job that the registry had accepted."""

    code = "QUEUE-OUT-OF-SYNC"


class QueueFullError(EnqueueError):
    """The job would pass a bound on jobs or bytes, and there was no capacity within the wait."""

    code = "QUEUE-FULL"


class NotFoundError(JobQueueError, LookupError):
    """No job of this id: never added, deleted, expired, or forgotten after its end."""

    code = "NOT-FOUND"


class WaitTimeoutError(JobQueueError, TimeoutError):
    """A blocking call waited as long as it was allowed to."""

    code = "TIMEOUT"


class ClosedError(JobQueueError):
    """The controller is closed."""

    code = "CLOSED"


class ValidationError(JobQueueError, ValueError):
    """A value breaks a rule; nothing has changed."""

    code = "INVALID"


class InvalidIDError(ValidationError):
    """Not an id: a UUID of version 4 in one of its forms."""

    code = "INVALID-ID"


class InvalidNameError(ValidationError):
    """Not a name: 1 to 255 of ``A-Z a-z 0-9 _ . -``."""

    code = "INVALID-NAME"


class InvalidPayloadError(ValidationError):
    """Not bytes, or more than 1 048 576 of them."""

    code = "INVALID-PAYLOAD"


class InvalidResultError(ValidationError):
    """Not bytes, or more than 1 048 576 of them."""

    code = "INVALID-RESULT"


class InvalidMaxAttemptsError(ValidationError):
    """Not an int from 0 to 255."""

    code = "INVALID-MAX-ATTEMPTS"


class InvalidMaxFailsError(ValidationError):
    """Not an int from 0 to 255."""

    code = "INVALID-MAX-FAILS"


class InvalidPriorityError(ValidationError):
    """Not an int of 32 bits with sign."""

    code = "INVALID-PRIORITY"


class InvalidTTRError(ValidationError):
    """Not a duration from 1 ms to 24 h."""

    code = "INVALID-TTR"


class InvalidTTLError(ValidationError):
    """Not a duration from 1 ms to 30 days."""

    code = "INVALID-TTL"


class InvalidTimeError(ValidationError):
    """Naive, missing, already over, or beyond what 64 bits of nanoseconds hold."""

    code = "INVALID-TIME"


class InvalidUniqueError(ValidationError):
    """Not bytes, or not 1 to 255 of them."""

    code = "INVALID-UNIQUE"


class InvalidTimeoutError(ValidationError):
    """Not a duration from 0 to 24 h."""

    code = "INVALID-TIMEOUT"


def _with_type_error(error: type[ValidationError]) -> type[ValidationError]:
    name = error.__name__.removesuffix("Error") + "TypeError"
    made = type(name, (error, TypeError), {"__doc__": f"{error.__doc__} Here: the wrong type."})
    made.__module__ = __name__
    globals()[name] = made  # so that it can be pickled
    return made


_TYPE_ERRORS: Final[dict[type[ValidationError], type[ValidationError]]] = {
    error: _with_type_error(error) for error in ValidationError.__subclasses__()
}


def shown(value: object) -> str:
    """The repr of a value, shortened, and safe for values whose repr raises."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a message must not fail on a hostile value
        text = f"<{type(value).__name__}, whose repr fails>"
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"


def raise_wrong_type(
    error: type[ValidationError], what: str, wanted: str, value: object
) -> NoReturn:
    """Raise for a value of the wrong type."""
    if value is ... and what == "timeout":
        raise _TYPE_ERRORS[error](f"{what} is missing: {wanted}{_hint_ms(what, None)}")
    raise _TYPE_ERRORS[error](
        f"{what} must be {wanted}, not {shown(value)} of type {type(value).__name__}"
        f"{hint(what, wanted, value)}"
    )


def hint(what: str, wanted: str, value: object) -> str:
    """What such a value most likely stands for, as the end of a message; or nothing."""
    try:
        return _hint(what, wanted, value)
    except Exception:  # noqa: BLE001 - a message must not fail on a hostile value
        return ""


def _hint(what: str, wanted: str, value: object) -> str:  # noqa: PLR0911 - a table
    if hasattr(type(value), "cr_await"):
        return "; it has not been awaited"
    if " ms " in wanted:
        return _hint_ms(what, value)
    if "bytes-like" in wanted:
        return _hint_bytes(what, value)
    if "datetime" in wanted:
        return _hint_time(value)
    if wanted == "an int" and value is None:
        return "; leave it out for its default"
    kind = type(value).__name__
    if what in ("name", "names"):
        if isinstance(value, (bytes, bytearray)):
            return "; decode it: .decode()"
        return "; its name is meant: .name" if kind == "Job" else ""
    if what == "id" and kind in ("Attempt", "RunRecord"):
        return "; its job is meant: .job"
    return ""


def _hint_ms(what: str, value: object) -> str:
    if value is None:
        if what in ("timeout", "wait"):
            return "; nothing waits for ever: 0 only looks, MAX_TIMEOUT is a day"
        return "; leave it out for its default"
    if isinstance(value, float) and abs(value) < SECONDS_SHOWN:
        return (
            f"; a float is taken for seconds too easily, and {value:g} s are {value * 1000:.0f} ms"
        )
    if isinstance(value, str) and value[:20].isdecimal():
        return "; int() makes one of it"
    return ""


def _hint_bytes(what: str, value: object) -> str:
    if isinstance(value, str):
        return "; encode it: .encode()"
    if value is None:
        return "; b'' is nothing"
    if what == "unique" or isinstance(value, BaseException):
        return "; str(…).encode() makes them of it"
    return "; json.dumps(…).encode() makes them of much"


def _hint_time(value: object) -> str:
    if isinstance(value, str):
        return "; datetime.fromisoformat() reads one"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "; datetime.fromtimestamp(…, UTC) makes one of seconds since 1970"
    if hasattr(value, "total_seconds"):
        return "; datetime.now(UTC) + it is one"
    return ""


def no_job_text(value: object) -> str:
    """What to say of a value where a Job is wanted."""
    said = f"a Job is wanted, not {shown(value)} of type {type(value).__name__}"
    if isinstance(value, (list, tuple)):
        return f"{said}; add_many() takes several"
    if type(value).__name__ in ("Attempt", "RunRecord"):
        return f"{said}; its job is meant: .job"
    return said + (hint("", "", value) or "; Job(name, payload) makes one")


def batch(values: object, what: str, wanted: str) -> list[object]:
    """What a batch call was given, as a list of its own."""
    if not isinstance(values, (str, bytes)):
        try:
            each = iter(values)  # type: ignore[call-overload]
        except TypeError:
            pass
        else:
            return list(each)
    raise TypeError(
        f"{what} must be an iterable of {wanted}, not {shown(values)}"
        f" of type {type(values).__name__}{hint('', '', values)}"
    )


def raise_not_version_4(text: str) -> NoReturn:
    """Raise for another UUID."""
    raise InvalidIDError(
        f"id must be a UUID of version 4, not {text};"
        " ID.new() makes one, and a key of your own goes into unique"
    )


def positional_text(given: int, words: Sequence[str]) -> str:
    """What to say of too many arguments by position."""
    return (
        f"Job() takes at most 2 positional arguments, name and payload ({given} given);"
        f" by keyword: {', '.join(words[2:])}"
    )


def raise_not_canonical(text: str) -> NoReturn:
    """Raise for a str that is no id."""
    import uuid  # noqa: PLC0415 - few need it

    said = f"id must be a UUID in canonical form, not {shown(text)}"
    try:
        uuid.UUID(text)
    except Exception:  # noqa: BLE001 - whatever it is, it is no UUID
        key = text[:40].encode(errors="replace")
        raise InvalidIDError(f"{said}; a key of your own goes into unique={key!r}") from None
    raise InvalidIDError(f"{said}; str(uuid.UUID(…)) is that form")


_JOB_WORDS: Final = {
    "time, a datetime, and schedule() in place of add()": (
        *("delay", "countdown", "eta", "at", "run_at", "when", "defer_by", "schedule"),
    ),
    "payload": ("data", "body", "message", "args", "kwargs", "value", "content"),
    "name": ("queue", "topic", "channel", "type", "task", "func"),
    "unique": ("key", "job_id", "task_id", "uniqueness", "dedup", "lock"),
    "ttr, in ms": ("timeout", "visibility_timeout", "time_limit", "limit", "job_timeout"),
    "ttl, in ms": ("expires", "expire", "expiration", "age_limit"),
    "max_fails": ("retries", "max_retries", "retry", "tries", "max_tries"),
}
"""What Job calls that which others call otherwise."""


def job_keyword_text(word: object, words: Sequence[str]) -> str:
    """What to say of a keyword that Job does not have."""
    said = f"Job() got an unexpected keyword argument {shown(word)}"
    for ours, theirs in _JOB_WORDS.items():
        if word in theirs:
            return f"{said}; here it is {ours}"
    import difflib  # noqa: PLC0415 - few need it

    near = difflib.get_close_matches(str(word), words, 1)
    return f"{said}; {near[0]!r}?" if near else f"{said}; it has {', '.join(words)}"


def raise_out_of_range(
    error: type[ValidationError], what: str, value: object, low: int, high: int, unit: str
) -> NoReturn:
    """Raise for a number outside low..high."""
    raise error(f"{what} must be {low} to {high}{unit}, not {shown(value)}")
