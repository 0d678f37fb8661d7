"""When a job that failed is tried again: Retry. And how durations of a worker are read."""

import math
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from .._objects.rules import MAX_TIMEOUT, check_timeout
from ..errors import ValidationError, shown
from ..interfaces import Duration

__all__ = ["Retry", "duration_ms"]

FACTOR_MAX: Final = 1000.0
MS: Final = timedelta(milliseconds=1)


def duration_ms(duration: Duration, what: str) -> int:
    """A duration of 0 to 24 h in ms. Its errors name ``what``.

    >>> duration_ms(timedelta(seconds=2), "drain")
    2000
    """
    try:
        check_timeout(duration)
    except ValidationError as error:
        raise type(error)(str(error).replace("timeout", what, 1)) from None
    if isinstance(duration, timedelta):
        return timedelta.__floordiv__(duration, MS)
    return int.__index__(duration)


def _number(value: object, what: str, low: float, high: float) -> float:
    """A finite number from low to high."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be a number, not {shown(value)}")
    if not low <= value <= high:  # false for nan, too
        raise ValueError(f"{what} must be {low:g} to {high:g}, not {shown(value)}")
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How long a job that failed waits until it may be tried again: exponential, with jitter.

    first: ms or timedelta before the second try; factor: how much longer each time, 1 to 1000;
    most: ms or timedelta at most; jitter: the part of it that is left to chance, 0 to 1, so that
    jobs that failed together do not come back together.

    Whether it is tried again at all is the job's own: see ``max_fails``.

    Raises TypeError (a float for a duration, a bool) and ValueError.

    >>> retry = Retry(first=100, factor=2, most=1000, jitter=0)
    >>> [retry.delay(failures) for failures in (1, 2, 3, 4, 5)]
    [100, 200, 400, 800, 1000]
    """

    first: Duration = 1000
    factor: float = 2.0
    most: Duration = 3_600_000
    jitter: float = 0.5

    def __post_init__(self) -> None:
        first_ms, most_ms = duration_ms(self.first, "first"), duration_ms(self.most, "most")
        if first_ms > most_ms:
            raise ValueError(
                f"0 <= first <= most <= {MAX_TIMEOUT} ms must hold, not first={first_ms},"
                f" most={most_ms}"
            )
        for name, value in (
            ("first", first_ms),
            ("factor", _number(self.factor, "factor", 1.0, FACTOR_MAX)),
            ("most", most_ms),
            ("jitter", _number(self.jitter, "jitter", 0.0, 1.0)),
        ):
            object.__setattr__(self, name, value)

    def delay(self, failures: int, rng: random.Random | None = None) -> int:
        """Milliseconds to wait after so many failures, counted from 1. O(1)."""
        first_ms, most_ms = duration_ms(self.first, "first"), duration_ms(self.most, "most")
        steps = max(failures - 1, 0)
        if first_ms == 0:
            whole = 0.0
        elif self.factor > 1 and steps > math.log(most_ms / first_ms, self.factor) + 1:
            whole = float(most_ms)  # and nothing overflows
        else:
            whole = min(first_ms * self.factor ** (steps if self.factor > 1 else 0), most_ms)
        chance = (rng or random).random() if self.jitter else 0.0
        return round(whole * (1 - self.jitter * chance))
