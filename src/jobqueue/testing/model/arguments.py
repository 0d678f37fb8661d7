"""The model's arguments: read, checked, and named in errors."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from jobqueue import (
    MAX_RESULT,
    DuplicateJobError,
    InvalidNameError,
    Job,
    validate_name,
)


def to_ms(duration: int | timedelta) -> int:
    """A valid duration in whole milliseconds."""
    return duration if isinstance(duration, int) else duration // timedelta(milliseconds=1)


def to_names(names: str | Sequence[str]) -> list[str]:
    """One or more names, each once."""
    if isinstance(names, str | bytes | bytearray) or not isinstance(names, Sequence):
        names = [names]
    if not names:
        raise InvalidNameError("names is empty: at least 1 is needed")
    for name in names:
        validate_name(name)
    return list(dict.fromkeys(names))


def check_count(what: str, value: int | None, low: int) -> None:
    """Raise unless value is an int of at least low."""
    if type(value) is not int:
        raise TypeError(f"{what} must be an int, not a {type(value).__name__}")
    if value < low:
        raise ValueError(f"{what} must be at least {low}, not {value}")


def check_job(job: Any) -> None:
    """Raise unless it is a Job: one that breaks a rule of its own cannot be built."""
    if not isinstance(job, Job):
        raise TypeError(f"a Job is wanted, not a {type(job).__name__}")


def check_hook(f: Any) -> None:
    """Raise unless it can be called, or is None: the engine's own."""
    if f is not None and not callable(f):
        raise TypeError(f"a hook must be a function of an ID, not a {type(f).__name__}")


def created_was_given(job: Job) -> bool:
    """Whether `created` was an argument: replace() keeps it only then."""
    return bool(job.replace().created_ns == job.created_ns)


def text_of(error: Exception) -> bytes:
    """The text of an exception, as the result of a job that it failed."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - whatever its text raises, its name must do
        text = type(error).__name__
    return text.encode(errors="replace")[:MAX_RESULT]


def duplicate(job: Job, first: Job) -> DuplicateJobError:
    """The error of a job whose id, or key, another has."""
    error = DuplicateJobError(f"job {job.id} is kept out by job {first.id}")
    error.first = first.id
    return error


def failed_at(index: int, error: Exception) -> Exception:
    """The same error, naming the place in a batch."""
    named = type(error)(f"item {index}: {error}")
    named.__dict__.update(vars(error), index=index)
    return named
