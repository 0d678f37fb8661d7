"""The harnesses of our own engines, all on a clock that is moved by hand.

`embedded` is the real one on its fast path, `custom` the real one over queues written in Python,
`durable` the one with a command log, `model` the slow reference: a test that fails on the model is
a wrong test. `asyncio` and `uvloop` are the one for asyncio: under `uvloop` every call is made in
the loop, under `asyncio` only those that wait, the others come from the thread of the test.
"""

import tempfile
from typing import Any

from jobqueue import Controller, Job, RunRecord, aio
from jobqueue.cmdlog import DurableController
from jobqueue.testing.harness import ALL, Harness, JobRecord, Unavailable
from jobqueue.testing.model import ModelController, view_of
from jobqueue.testing.model.parts import Queues, Record
from tests.loops import AwaitedEngine, LoopThread

LOOPS = ("asyncio", "uvloop")
loops: dict[str, LoopThread] = {}
"""Event loops by the module that they are from; they run before the first test does."""


class Ours(Harness):
    """Whatever is made here can be looked into: registry and queues are at hand."""

    has = ALL

    def find(self, engine: Any, id: Any) -> JobRecord | None:
        record = engine.registry.record(id)
        if record is None:
            return None
        return JobRecord(record.job, record.state, record.attempts, record.fails, record.result)

    def look(self, engine: Any) -> dict[str, Any]:
        return view_of(engine)

    def in_line(self, job: Job, engine: Any = None) -> bool:
        """What is listed is what the queues hold, foreign ones too."""
        listed = super().in_line(job, engine)
        assert self._behind(engine).queues.exists(job) == listed
        return listed

    def new_record(self, job: Job, **fields: Any) -> Any:
        return RunRecord(job, **fields)

    def check(self, engine: Any) -> None:
        engine._check()


class Embedded(Ours):
    name = "embedded"

    def open(self, **options: Any) -> Controller:
        return Controller(clock=self.clock, **options)


class Custom(Ours):
    name = "custom"
    has = ALL - {"limits", "turns", "messages"}

    def open(self, **options: Any) -> Controller:
        return Controller(clock=self.clock, **{"queues": Queues(), **options})


class Durable(Ours):
    name = "durable"
    has = ALL - {"adders"}

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()

    def open(self, **options: Any) -> Controller:
        if options.keys() & {"registry", "queues"}:
            return Controller(clock=self.clock, **options)
        options.setdefault("keep_expired", 0)  # as a Controller has it by itself
        path = f"{self._folder.name}/{len(self._made)}"
        return DurableController(clock=self.clock, path=path, sync="os", **options)

    def close(self) -> None:
        super().close()
        self._folder.cleanup()


class Model(Ours):
    name = "model"
    has = ALL - {"messages"}

    def open(self, **options: Any) -> ModelController:
        return ModelController(clock=self.clock, **options)

    def new_record(self, job: Job, **fields: Any) -> Any:
        return Record(job, **fields)

    def check(self, engine: Any) -> None:
        """It is what others are checked by."""


class Asyncio(Ours):
    name = "asyncio"

    def __init__(self) -> None:
        if self.name not in loops:
            raise Unavailable(f"{self.name} has no build for this interpreter")
        super().__init__()

    def open(self, **options: Any) -> AwaitedEngine:
        controller = aio.Controller(Controller(clock=self.clock, **options))
        return AwaitedEngine(loops[self.name], controller, shared=self.name == "asyncio")

    def close(self) -> None:
        super().close()
        loops[self.name].rest()


class Uvloop(Asyncio):
    name = "uvloop"


ENGINES: list[type[Harness]] = [Embedded, Custom, Durable, Model, Asyncio, Uvloop]
