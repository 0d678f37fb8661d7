"""The engines under test, all on a clock that is moved by hand.

`embedded` is the real one on its fast path, `custom` the real one over queues written in Python,
`durable` the one with a command log, `model` the slow reference: a test that fails on the model is
a wrong test. `asyncio` and `uvloop` are the one for asyncio: under `uvloop` every call is made in
the loop, under `asyncio` only those that wait, the others come from the thread of the test.
"""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobqueue import Controller, Job, RunRecord, aio
from jobqueue.cmdlog import DurableController
from jobqueue.testing import ManualClock
from tests.loops import AwaitedEngine, LoopThread
from tests.model import ModelController
from tests.plain import Queues, Record
from tests.waiting import Call, wait_until

ENGINES = ("embedded", "custom", "durable", "model", "asyncio", "uvloop")
LOOPS = ("asyncio", "uvloop")


class EngineMaker:
    """Makes engines of one kind on one clock; checks and closes them at the end of the test."""

    def __init__(
        self, kind: str, clock: ManualClock, thread: LoopThread | None, directory: Path
    ) -> None:
        self.kind = kind
        self.clock = clock
        self._thread = thread
        self._directory = directory
        self._made: list[Any] = []

    def __call__(self, **options: Any) -> Any:
        if self.kind == "custom":
            options.setdefault("queues", Queues())
        make = ModelController if self.kind == "model" else Controller
        if self.kind == "durable" and not options.keys() & {"registry", "queues"}:
            options |= {"path": self._directory / str(len(self._made)), "sync": "os"}
            options.setdefault("keep_expired", 0)  # as a Controller has it by itself
            make = DurableController
        engine = make(clock=self.clock, **options)
        if self._thread is not None:
            shared = self.kind == "asyncio"
            engine = AwaitedEngine(self._thread, aio.Controller(engine), shared=shared)
        self._made.append(engine)
        return engine

    def record(self, job: Job, **fields: Any) -> Any:
        """A record made by hand."""
        return (Record if self.kind == "model" else RunRecord)(job, **fields)

    def finish(self) -> None:
        for engine in self._made:
            if hasattr(engine, "_check"):
                engine._check()
            engine.close()
        if self._thread is not None:
            self._thread.rest()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def loops() -> Iterator[dict[str, LoopThread]]:
    """Event loops by the module that they are from; they run before the first test does."""
    found = [name for name in LOOPS if importlib.util.find_spec(name)]
    threads = {name: LoopThread(importlib.import_module(name).new_event_loop) for name in found}
    yield threads
    for thread in threads.values():
        thread.close()


@pytest.fixture(params=ENGINES)
def make_engine(
    request: pytest.FixtureRequest,
    clock: ManualClock,
    loops: dict[str, LoopThread],
    tmp_path: Path,
) -> Iterator[EngineMaker]:
    kind: str = request.param
    if kind in LOOPS and kind not in loops:
        pytest.skip("uvloop has no build for this interpreter")
    maker = EngineMaker(kind, clock, loops.get(kind), tmp_path)
    yield maker
    maker.finish()


@pytest.fixture
def engine(make_engine: EngineMaker) -> Any:
    return make_engine()


@pytest.fixture
def blocked(engine: Any) -> Callable[..., Call]:
    """Start a lease-like call in a thread and return once it is blocked."""

    def start(function: Callable[..., Any], *args: Any) -> Call:
        before = engine.stats().waiting
        call = Call(function, *args)
        wait_until(lambda: engine.stats().waiting > before, "the blocked leaser")
        return call

    return start


@pytest.fixture
def blocked_result(engine: Any, clock: ManualClock) -> Callable[..., Call]:
    """Start `result` in a thread and return once it is blocked.

    Its deadline is then the next of the engine: the time-out must be earlier than any timer.
    """

    def start(id: Any, timeout: int) -> Call:
        deadline_ns = clock.monotonic_ns() + timeout * 1_000_000
        assert (engine.next_deadline_ns() or deadline_ns + 1) > deadline_ns, "a timer is earlier"
        call = Call(engine.result, id, timeout)
        wait_until(lambda: engine.next_deadline_ns() == deadline_ns, "the blocked result")
        return call

    return start


@pytest.fixture
def running(engine: Any) -> Callable[..., Call]:
    """Start `run` in a thread and return once its job is known."""

    def start(job: Job, timeout: int) -> Call:
        call = Call(engine.run, job, timeout)
        wait_until(lambda: job.id in engine.registry, "the run job")
        return call

    return start
