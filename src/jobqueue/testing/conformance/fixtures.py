"""The fixtures of the suite: the harness of one test, and what it makes."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobqueue import Job
from jobqueue.testing import ManualClock
from jobqueue.testing.harness import Harness
from jobqueue.testing.plugin import set_up_harness
from jobqueue.testing.waiting import Call, wait_until

__all__ = [
    "blocked",
    "blocked_result",
    "clock",
    "engine",
    "harness",
    "make_engine",
    "rng",
    "running",
]


@pytest.fixture
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    yield from set_up_harness(request)


@pytest.fixture
def clock(harness: Harness) -> ManualClock:
    harness.need("time")
    return harness.clock


@pytest.fixture
def make_engine(harness: Harness) -> Callable[..., Any]:
    return harness.make


@pytest.fixture
def engine(make_engine: Callable[..., Any]) -> Any:
    return make_engine()


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers that differ from test to test, and by `--seed` if there is such an option."""
    return random.Random(f"{request.config.getoption('--seed', None)} {request.node.nodeid}")


@pytest.fixture
def blocked(engine: Any, harness: Harness) -> Callable[..., Call]:
    """Start a lease-like call in a thread and return once it is blocked."""

    def start(function: Callable[..., Any], *args: Any) -> Call:
        harness.need("waits")
        before = engine.stats().waiting
        call = Call(function, *args)
        wait_until(lambda: engine.stats().waiting > before or call.done, "the blocked leaser")
        if call.done:  # it had no need to wait, or was not let
            pytest.fail(f"it did not wait: {call.outcome()!r}")
        return call

    return start


@pytest.fixture
def blocked_result(engine: Any, harness: Harness, clock: ManualClock) -> Callable[..., Call]:
    """Start `result` in a thread and return once it is blocked.

    Its deadline is then the next of the engine: the time-out must be earlier than any timer.
    """

    def start(id: Any, timeout: int) -> Call:
        harness.need("waits")
        harness.need("results")
        deadline_ns = clock.monotonic_ns() + timeout * 1_000_000
        assert (engine.next_deadline_ns() or deadline_ns + 1) > deadline_ns, "a timer is earlier"
        call = Call(engine.result, id, timeout)
        wait_until(lambda: engine.next_deadline_ns() == deadline_ns, "the blocked result")
        return call

    return start


@pytest.fixture
def running(engine: Any, harness: Harness) -> Callable[..., Call]:
    """Start `run` in a thread and return once its job is known."""

    def start(job: Job, timeout: int) -> Call:
        harness.need("waits")
        harness.need("run")
        call = Call(engine.run, job, timeout)
        wait_until(lambda: harness.record(job, engine) is not None, "the run job")
        return call

    return start
