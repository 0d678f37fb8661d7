"""What holds for every test: printed seeds, no thread left behind, no native object left behind."""

import gc
import random
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, settings

from jobqueue import _core
from jobqueue._objects import registry

pytest_plugins = ["jobqueue.testing.plugin"]  # of the conformance suite

PATIENCE_S = 10.0
"""How long a thread that has been told to end may take."""

# No test asserts a duration, nor does hypothesis: the machine may be busy.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="of the random choices in tests, to repeat a run")
    parser.addoption("--long", action="store_true", help="long forms of the tests that have one")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--seed") is None:
        config.option.seed = random.SystemRandom().randrange(2**32)


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [
        f"jobqueue: {_core.__file__}",
        f"seed: {config.getoption('--seed')} (repeat with --seed)",
    ]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The run's seed; pytest's header shows it."""
    value: int = request.config.getoption("--seed")
    return value


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether a test with a long form is to run that."""
    value: bool = request.config.getoption("--long")
    return value


@pytest.fixture
def rng(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """Random numbers that differ from test to test and come again with the same --seed."""
    return random.Random(f"{seed} {request.node.nodeid}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[passed_key] = report.passed
    return report


def pytest_collection_finish() -> None:
    """Let no collection after a test walk over all the tests: a debug build makes thousands."""
    gc.collect()
    gc.freeze()


passed_key = pytest.StashKey[bool]()


@pytest.fixture(autouse=True)
def nothing_left_behind(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Fail a test after which one of its threads still runs, or a native object still lives.

    Set up before a test's other fixtures, so that it looks when all of them are gone. A failed
    test is left alone: its traceback keeps what it shows alive.
    """
    threads = set(threading.enumerate())
    objects = registry._live_counts()
    yield
    if request.node.stash.get(passed_key, False):
        left = [thread for thread in threading.enumerate() if thread not in threads]
        end = time.monotonic() + PATIENCE_S
        for thread in left:
            while (
                thread.ident is not None
            ):  # else it was struck amid its start, or is to end at once
                with suppress(RuntimeError):  # it is about to begin
                    thread.join(max(0.0, end - time.monotonic()))
                    break
        assert not [thread for thread in left if thread.is_alive()], "threads left behind"
        request.node.funcargs.clear()  # else pytest keeps what the fixtures made till later
        caplog.get_records("call").clear()  # and what the tracebacks of its log records hold
        if request.node.get_closest_marker("struck"):
            return
        pause, end = threading.Event(), time.monotonic() + PATIENCE_S
        while more_than(objects) and time.monotonic() < end:
            gc.collect()  # a cycle may come free only when another is gone
            pause.wait(0.01)  # and a thread that is joined may still let go of what it had
        assert not more_than(objects), f"native objects left behind: {registry._live_counts()}"


def more_than(objects: tuple[int, ...]) -> bool:
    """Whether more native objects live now, of any kind. Only a debug build counts them."""
    now = registry._live_counts()
    return any(after > before for before, after in zip(objects, now, strict=True))
