"""The system's clocks as Python shows them, to compare the native ones with."""

import sys
import time
from collections.abc import Callable
from typing import Final

WINDOWS: Final = sys.platform == "win32"
# Before 3.13 Python's monotonic clock there is another one than the performance counter, ours.
system_monotonic_ns: Final[Callable[[], int]] = (
    time.perf_counter_ns if WINDOWS else time.monotonic_ns
)
COARSE_NS: Final = 20_000_000 if WINDOWS else 0
"""What Python's clocks may be behind: up to 16 ms on Windows, by its version."""
