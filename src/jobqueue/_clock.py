"""Where time comes from: the Clock protocol and the system's clock."""

from typing import Protocol, final, runtime_checkable

from ._structures import system

__all__ = ["Clock", "SystemClock"]


@runtime_checkable
class Clock(Protocol):
    """What a controller asks for the time. Both calls must be cheap and safe from any thread."""

    def now_ns(self) -> int:
        """Wall time, UTC: nanoseconds since 1970. May step either way."""
        ...

    def monotonic_ns(self) -> int:
        """Monotonic time: nanoseconds since any fixed point. Never goes back."""
        ...


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
