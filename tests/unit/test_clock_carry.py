"""The native clock counts on between reads of the system's: it must agree with that."""

import time

import pytest

from jobqueue._structures import system as _system
from tests.system_clocks import COARSE_NS, system_monotonic_ns

SLACK_NS = 1_000
"""What a read may be behind: 20 ns by design, and what a real read takes."""


@pytest.mark.parametrize(
    ("ours", "systems"),
    [(_system.monotonic_ns, system_monotonic_ns), (_system.wall_ns, time.time_ns)],
    ids=["monotonic", "wall"],
)
def test_it_agrees_with_the_systems_clock(ours, systems) -> None:  # type: ignore[no-untyped-def]
    for _ in range(100_000):
        before = systems()
        read = ours()
        after = systems()
        if before <= after:  # a wall clock may be stepped
            assert before - SLACK_NS <= read <= after + COARSE_NS


def test_monotonic_never_goes_back() -> None:
    last = _system.monotonic_ns()
    for _ in range(200_000):
        now = _system.monotonic_ns()
        assert now >= last
        last = now
