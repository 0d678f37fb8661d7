"""Tools for testing code that uses job queues: a clock that moves only when it is told to."""

from ._manual_clock import ManualClock

__all__ = ["ManualClock"]
