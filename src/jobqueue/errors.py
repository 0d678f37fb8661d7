"""Every error of the package, and the wording of their messages.

A rule that a value breaks has its own class. A value of the wrong *type* raises a class that is
both that rule's error and a ``TypeError`` (``InvalidTTRTypeError`` for ``InvalidTTRError``).
"""

from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from ._job import ID

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


class JobQueueError(Exception):
    """Base of every error that this package raises on purpose.

    ``index`` is the position of the item at fault in a batch call, else None.
    """

    index: int | None = None


class DuplicateError(JobQueueError):
    """Something that must be unique is there already."""


class DuplicateJobError(DuplicateError):
    """A job of this id is in the registry, or an unprocessed one of its name has its key.

    ``first`` is the id of the job that was there, or None if it is not known.
    """

    first: "ID | None" = None


class DuplicateResultError(DuplicateError):
    """The job has its result already."""


class LeaseExpiredError(JobQueueError):
    """The job is not leased, or no longer under the attempt that the caller names."""


class MaxAttemptsReachedError(JobQueueError):
    """The job has used up its attempts; it is now FAILED."""


class NotDeadError(JobQueueError):
    """The job did not end FAILED: there is nothing to put back."""


class AlreadyLeasedError(JobQueueError):
    """The job is leased to somebody."""


class AlreadyProcessedError(JobQueueError):
    """The job is COMPLETED or FAILED."""


class EnqueueError(JobQueueError):
    """A job could not be put into its queue."""


class QueueOutOfSyncError(EnqueueError):
    """The queue refused a job that the registry had accepted."""


class QueueFullError(EnqueueError):
    """The job would pass a bound on jobs or bytes, and there was no room within the wait."""


class NotFoundError(JobQueueError, LookupError):
    """No job of this id: never added, deleted, expired, or forgotten after its end."""


class WaitTimeoutError(JobQueueError, TimeoutError):
    """A blocking call waited as long as it was allowed to."""


class ClosedError(JobQueueError):
    """The controller is closed."""


class ValidationError(JobQueueError, ValueError):
    """A value breaks a rule; nothing has changed."""


class InvalidIDError(ValidationError):
    """Not an id: a UUID of version 4 in one of its forms."""


class InvalidNameError(ValidationError):
    """Not a name: 1 to 255 of ``A-Z a-z 0-9 _ . -``."""


class InvalidPayloadError(ValidationError):
    """Not bytes, or more than 1 048 576 of them."""


class InvalidResultError(ValidationError):
    """Not bytes, or more than 1 048 576 of them."""


class InvalidMaxAttemptsError(ValidationError):
    """Not an int from 0 to 255."""


class InvalidMaxFailsError(ValidationError):
    """Not an int from 0 to 255."""


class InvalidPriorityError(ValidationError):
    """Not an int of 32 bits with sign."""


class InvalidTTRError(ValidationError):
    """Not a duration from 1 ms to 24 h."""


class InvalidTTLError(ValidationError):
    """Not a duration from 1 ms to 30 days."""


class InvalidTimeError(ValidationError):
    """Naive, missing, already over, or beyond what 64 bits of nanoseconds hold."""


class InvalidUniqueError(ValidationError):
    """Not bytes, or not 1 to 255 of them."""


class InvalidTimeoutError(ValidationError):
    """Not a duration from 0 to 24 h."""


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
    hint = ""
    if "ms" in wanted and isinstance(value, float):
        hint = "; a float is taken for seconds too easily"
    raise _TYPE_ERRORS[error](
        f"{what} must be {wanted}, not {shown(value)} of type {type(value).__name__}{hint}"
    )


def raise_out_of_range(
    error: type[ValidationError], what: str, value: object, low: int, high: int, unit: str
) -> NoReturn:
    """Raise for a number outside low..high."""
    raise error(f"{what} must be {low} to {high}{unit}, not {shown(value)}")
