"""Random values for the arguments of calls: mostly valid ones, of things that are there."""

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from jobqueue import State
from tests.sim.sides import FORMS, MS, New, Old

if TYPE_CHECKING:
    from tests.sim.world import World

T = TypeVar("T")

BAD = 0.02
"""The part of the arguments that are invalid."""

BAD_IDS = ("", "no id", b"x", bytes(16), None, 5, 1.5)
BAD_NAMES = ("", "a b", "é", None, 5, b"a", "a" * 256)
BAD_DURATIONS = (-1, 2**40, 2**70, 1.5, True, "1", timedelta(-1), timedelta(99))
BAD_RESULTS = ("text", None, 5)
BAD_ATTEMPTS = ("1", 1.0, True)
BAD_COUNTS = (-1, -(2**70), 1.5, "1", True)


class Draw:
    """What a generator of steps draws from."""

    def __init__(self, rng: Random, world: "World") -> None:
        self.rng = rng
        self.world = world
        self._numbers = 0

    # ------------------------------------------------------------ choices

    def chance(self, part: float) -> bool:
        return self.rng.random() < part

    def pick(self, things: Any) -> Any:
        return things[int(self.rng.random() * len(things))]

    def some(self, make: Callable[[], T], most: int = 4) -> list[T]:
        return [make() for _ in range(self.rng.randrange(most + 1))]

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    # ------------------------------------------------------------ names, durations, bytes

    def name(self) -> Any:
        return self.pick(BAD_NAMES) if self.chance(BAD) else self.pick(self.world.setting.names)

    def names(self) -> Any:
        if self.chance(0.5):
            return self.name()
        names = self.some(self.name)
        return tuple(names) if self.chance(0.2) else names

    def duration(self) -> Any:
        if self.chance(BAD):
            return self.pick(BAD_DURATIONS)
        ms = self.pick((0, 1, 2, 5, 10, 50, 300, 2000))
        return ms * MS if self.chance(0.1) else ms

    def result(self) -> Any:
        if self.chance(BAD):
            return self.pick(BAD_RESULTS)
        return self.pick((b"", b"done", bytearray(b"array"), bytes(500)))

    def count(self) -> Any:
        return self.pick(BAD_COUNTS) if self.chance(BAD) else self.rng.randrange(5)

    def bound(self, most: int) -> Any:
        """What a queue may hold, in jobs or bytes."""
        if self.chance(BAD):
            return self.pick(BAD_COUNTS)
        return None if self.chance(0.5) else self.rng.randrange(1, most)

    def limit(self) -> Any:
        return None if self.chance(0.5) else self.count()

    # ------------------------------------------------------------ jobs and what is known of them

    def new(self) -> New:
        rng = self.rng
        options: dict[str, Any] = {}
        now_ms = self.world.now_ms()
        if self.chance(0.5):
            options["priority"] = rng.randrange(-1, 3)
        if self.chance(0.6):
            options["ttr"] = self.pick((1, 5, 20, 100))
        if self.chance(0.6):
            options["ttl"] = self.pick((1, 10, 100, 1000, 5000))
        if self.chance(0.4):
            options["max_attempts"] = rng.randrange(1, 4)
        if self.chance(0.4):
            options["max_fails"] = rng.randrange(1, 4)
        if self.chance(0.4):
            options["time"] = now_ms + self.pick((-20, -1, 0, 1, 5, 30, 200))
        if self.chance(0.2):
            options["created"] = now_ms + self.pick((-50, -5, -5, 0, 0, 5))
        if self.chance(0.3):
            options["unique"] = self.pick((b"k", b"l"))
        if self.chance(0.3):
            options["size"] = self.pick((1, 100, 700))
        return New(self.number(), self.pick(self.world.setting.names), tuple(options.items()))

    def job(self) -> Any:
        if self.chance(BAD):
            return self.pick((None, "a", 5))
        return self.old() if self.chance(0.1) else self.new()

    def old(self) -> Old:
        """A job that was made at some time."""
        return Old(self.rng.randrange(max(self._numbers, 1)) + 1)

    def known(self, *states: State) -> Old:
        """A job of the registry, in one of these states if there is any."""
        records = list(self.world.model.engine.registry)
        wanted = [record for record in records if record.state in states]
        if not records:
            return self.old()
        return Old(self.world.model.numbers[self.pick(wanted or records).job.id])

    def id(self, *states: State) -> Any:
        """An id in any form: mostly of a job in one of these states."""
        if self.chance(BAD):
            return self.pick(BAD_IDS)
        wanted = states if self.chance(0.8) else ()
        job = self.old() if self.chance(0.05) else self.known(*wanted)
        return Old(job.number, self.pick(tuple(FORMS))) if self.chance(0.2) else job

    def attempt(self, id: Any) -> Any:
        """A number to fence by: mostly none, or the present one of the job."""
        if self.chance(0.5):
            return None
        if self.chance(BAD):
            return self.pick(BAD_ATTEMPTS)
        record = None
        if isinstance(id, Old):
            record = self.world.model.engine.registry.record(self.world.model.make(id))
        number = 1 if record is None else record.attempts
        return number if self.chance(0.8) else number + self.pick((-1, 1, 2**64, -(2**70)))

    def observation(self) -> int:
        """One of those who observe."""
        observations = list(self.world.model.observations)
        return self.pick(observations) if observations else 0

    def wait(self) -> int:
        """One of those who wait."""
        waits = list(self.world.model.waits)
        return self.pick(waits) if waits else 0
