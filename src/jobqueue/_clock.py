"""Where time comes from, if nothing else is said: the system's clocks."""

from ._structures import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import final
else:

    def final(kind: type) -> type:
        """As typing.final, which is for checkers alone."""
        return kind


__all__ = ["SystemClock", "is_clock"]


def is_clock(value: object) -> bool:
    """Whether something offers jobqueue.Clock."""
    verbs = (getattr(value, verb, None) for verb in ("now_ns", "monotonic_ns"))
    return not isinstance(value, type) and all(map(callable, verbs))


@final
class SystemClock:
    """The operating system's clocks. The core reads them natively.

    >>> clock = SystemClock()
    >>> clock.monotonic_ns() <= clock.monotonic_ns()
    True
    """

    __slots__ = ()

    def now_ns(self) -> int:
        """Wall time, UTC: nanoseconds since 1970."""
        return system.wall_ns()

    def monotonic_ns(self) -> int:
        """Monotonic time in nanoseconds."""
        return system.monotonic_ns()

    def __repr__(self) -> str:
        return "SystemClock()"
