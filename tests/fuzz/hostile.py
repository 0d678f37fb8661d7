"""Objects that lie, raise, change while they are read, or call back into the engine."""

import array
import ctypes
import enum
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from typing import Any

from jobqueue import ID, Controller, Job, RunRecord, TimerWheel
from jobqueue.testing import ManualClock
from jobqueue.testing.model.parts import Queues


class BrokenError(Exception):
    """What hostile objects raise."""


class Source:
    """Choices out of bytes: hypothesis makes them short, atheris makes them interesting."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        return self._at >= len(self._data)

    def number(self, below: int) -> int:
        value = 0 if self.is_empty else self._data[self._at]
        self._at += 1
        return value % below

    def pick(self, things: Any) -> Any:
        return things[self.number(len(things))]


class Hostile:
    """What every hostile object can do when it is asked for something."""

    def __init__(self, source: Source, back: Callable[[], Any]) -> None:
        self.source = source
        self.back = back  # calls into the engine

    def turn(self, *honest: Any) -> Any:
        """Raise, call back, or answer: honestly, or not."""
        match self.source.number(5):
            case 0:
                raise BrokenError
            case 1:
                self.back()
            case 2:
                return self.source.pick(LIES)
        return self.source.pick(honest) if honest else self.source.pick(LIES)


LIES: tuple[Any, ...] = (
    *(None, -1, 0, 1, 2**31, 2**63, 2**64, 2**200, -(2**63), -(2**200), True, 1.5, float("nan")),
    *("", "a", "\0", "\ud800", "a" * 300, b"", b"x" * 16, bytearray(3), (), [], {}, object()),
    *(NotImplemented, Ellipsis, int, Job, timedelta.max, timedelta.min, datetime.max),
)


def method(*honest: Any) -> Callable[..., Any]:
    def ask(self: Any, *_: Any, **__: Any) -> Any:
        return self.hostile.turn(*honest)

    return ask


class Index:
    """Turns into a number, perhaps."""

    def __init__(self, hostile: Hostile) -> None:
        self.hostile = hostile

    __index__ = __int__ = __float__ = __len__ = method(0, 1, 5, 1000)
    __bytes__ = __str__ = __repr__ = __iter__ = __bool__ = method()
    __getitem__ = __contains__ = __call__ = method()

    def __eq__(self, other: object) -> Any:
        return self.hostile.turn(True, False)

    def __hash__(self) -> Any:
        return self.hostile.turn(0, 1)


def subclass(kind: type) -> type:
    """Of int, str, bytes, ...: it has a value of its own, and answers something else."""
    names = (
        *("__index__", "__int__", "__len__", "__bytes__", "__str__", "__repr__", "__iter__"),
        *("__eq__", "__lt__", "__gt__", "__le__", "__ge__", "__ne__", "__add__", "__sub__"),
        *("__mul__", "__floordiv__", "__mod__", "__bool__", "__getitem__", "__contains__"),
        *("__buffer__", "__format__", "encode", "decode", "utcoffset", "timestamp", "astimezone"),
    )
    body = {name: method(0, 1, "a", b"a") for name in names if hasattr(kind, name)}
    body["__hash__"] = method(1)
    return type(f"Hostile{kind.__name__.title()}", (kind,), body)


KINDS = {kind: subclass(kind) for kind in (int, str, bytes, bytearray, list, tuple, dict)}


HELD = (
    *((int, 0), (int, 5), (int, -1), (int, 2**70), (bytes, b"x" * 16), (bytes, b"")),
    *((bytearray, b"x"), (list, ["a"]), (tuple, ("a", "b")), (dict, {"a": 1})),
)


class Delta(timedelta):
    days = seconds = microseconds = property(lambda self: self.hostile.turn(0, 1))
    __floordiv__ = __truediv__ = total_seconds = method(1)


class Zone(tzinfo):
    utcoffset = dst = tzname = method(timedelta(0), timedelta(hours=25), None)


class Moment(datetime):
    year = month = day = hour = property(lambda self: self.hostile.turn(1))
    utcoffset = timestamp = astimezone = replace = __sub__ = method(timedelta(0))


class UUID(uuid.UUID):
    int = bytes = version = variant = property(lambda self: self.__dict__["hostile"].turn(4, b"x"))

    def __init__(self, hostile: Hostile) -> None:
        self.__dict__["hostile"] = hostile


class UUIDOfItself(uuid.UUID):
    """Its bytes are what has bytes."""

    bytes = property(lambda self: self)


class Posing:
    """Says that it is a Job."""

    def __init__(self, hostile: Hostile) -> None:
        self.hostile = hostile

    __class__ = property(
        lambda self: self.hostile.turn(Job, ID, str, int, datetime, timedelta, uuid.UUID)
    )
    id = name = job = property(lambda self: self.hostile.turn("a"))
    bytes = property(lambda self: self.hostile.turn(self, b"x" * 16))


class Queue(str, enum.Enum):  # noqa: UP042 - a StrEnum is shown as what it is
    """A str that is shown as another."""

    A = "a"
    LONG = "a" * 300
    WIDE = "\u20ac\U0001f600"


class Label(str):
    """A str that says it is another one."""

    __slots__ = ("hostile",)
    hostile: Hostile
    __str__ = __eq__ = __ne__ = method("a", "b", "no name", True)  # type: ignore[assignment]
    __hash__ = str.__hash__


class Shrinking(bytearray):
    """Gets shorter, or longer, whenever something of it is looked at."""

    hostile: Hostile

    def _change(self) -> None:
        try:
            self[:] = bytes(self.hostile.source.number(40))
        except BufferError:
            pass  # somebody has a hold on it

    def __len__(self) -> int:
        self._change()
        return super().__len__()

    def __bytes__(self) -> bytes:
        self._change()
        return bytes(memoryview(self))

    def __buffer__(self, flags: int) -> memoryview:
        self._change()
        return super().__buffer__(flags)  # type: ignore[misc, no-any-return]


class Unbuilt(Controller):
    """Forgets to build what it inherits."""

    def __init__(self) -> None:
        pass


def endless(hostile: Hostile, items: list[Any]) -> Iterator[Any]:
    """A sequence that grows, calls back and breaks off while it is read."""
    for item in items:
        yield item
        hostile.turn()


def of_kind(hostile: Hostile, kind: type, value: Any) -> Any:
    made = KINDS[kind](value)
    made.hostile = hostile
    return made


def strange_buffer(source: Source) -> Any:
    released = memoryview(b"released")
    released.release()
    return source.pick(
        (
            memoryview(b"every other")[::2],
            memoryview(b"backwards")[::-1],
            memoryview(bytes(24)).cast("B", (2, 3, 4)),
            memoryview(bytes(16)).cast("d"),
            released,
            array.array("i", [1, 2, 3]),
            (ctypes.c_char * 16)(),
            (ctypes.c_int * 0)(),
            bytearray(2**20 + 1),
        )
    )


def lying_moment(hostile: Hostile) -> datetime:
    moment = Moment(2026, 1, 1, tzinfo=UTC)
    moment.hostile = hostile
    return moment


def moment_of_lying_zone(hostile: Hostile) -> datetime:
    zone = Zone()
    zone.hostile = hostile
    return datetime(2026, 1, 1, tzinfo=hostile.source.pick((zone, UTC, None)))


def lying_delta(hostile: Hostile) -> timedelta:
    delta = Delta(milliseconds=hostile.source.number(9))
    delta.hostile = hostile
    return delta


def lying_str(hostile: Hostile, job: Job) -> str:
    return of_kind(hostile, str, hostile.source.pick(("a", "", str(job.id), "é")))


def label(hostile: Hostile, _: Job) -> Any:
    made = Label(hostile.source.pick(("a", "b", "", "é")))
    made.hostile = hostile
    return made


def shrinking(hostile: Hostile, _: Job) -> Any:
    made = Shrinking(16)
    made.hostile = hostile
    return made


def unbuilt(hostile: Hostile, _: Job) -> Any:
    """What was made without its ``__init__``."""
    kind: Any = hostile.source.pick((Unbuilt, RunRecord, TimerWheel, uuid.UUID, datetime))
    return kind.__new__(kind, *([2026, 1, 1] if kind is datetime else []))


def honest(hostile: Hostile, job: Job) -> Any:
    """What a call may be meant to take."""
    source = hostile.source
    return source.pick(
        (
            *("a", "b", b"result", ["a", "b"], source.number(5), job),
            *(job.id, str(job.id), bytes(job.id), job.id.uuid),
        )
    )


def another(hostile: Hostile, _: Job) -> Job:
    source = hostile.source
    return Job("a", unique=source.pick((None, b"k")), max_fails=source.number(3))


MAKERS: tuple[Callable[[Hostile, Job], Any], ...] = (
    *(honest, honest, honest, honest, another),
    lambda hostile, _: hostile.source.pick(LIES),
    lambda hostile, _: hostile.source.pick(LIES),
    lambda hostile, _: Index(hostile),
    lambda hostile, _: of_kind(hostile, *hostile.source.pick(HELD)),
    lying_str,
    lambda hostile, _: lying_delta(hostile),
    lambda hostile, _: moment_of_lying_zone(hostile),
    lambda hostile, _: lying_moment(hostile),
    lambda hostile, _: UUID(hostile),
    lambda hostile, job: UUIDOfItself(str(job.id)),
    lambda hostile, _: hostile.source.pick(tuple(Queue)),
    *(label, shrinking, unbuilt),
    lambda hostile, _: Posing(hostile),
    lambda hostile, _: strange_buffer(hostile.source),
    lambda hostile, job: endless(hostile, [job, (job, b""), "a", None]),
    lambda hostile, job: [job, another(hostile, job)],
    lambda hostile, job: [(job, b""), (job, strange_buffer(hostile.source))],
    lambda _, job: RunRecord(job),
    lambda hostile, _: lambda *_: hostile.turn(),
)


def value(hostile: Hostile, jobs: list[Job]) -> Any:
    """Any value at all, for any argument."""
    return hostile.source.pick(MAKERS)(hostile, hostile.source.pick(jobs))


class LyingRandom(Random):
    """A source of chance that is none, once it is let loose."""

    hostile: Hostile | None = None

    def randrange(self, *limits: Any) -> Any:
        honest = super().randrange(*limits)
        return honest if self.hostile is None else self.hostile.turn(honest, 2)

    def shuffle(self, x: Any) -> None:
        super().shuffle(x)
        if self.hostile is not None:
            self.hostile.turn()


ENDS = (2**63 - 1, -(2**63), 2**62, -(2**62), 2**63 - 2)
"""Of what an engine can reckon with, and beyond."""


class LyingClock(ManualClock):
    """Goes backwards, jumps, or breaks, once it is let loose."""

    hostile: Hostile | None = None

    def now_ns(self) -> Any:
        if self.hostile is None:
            return super().now_ns()
        return self.hostile.turn(super().now_ns(), *ENDS)

    def monotonic_ns(self) -> Any:
        if self.hostile is None:
            return super().monotonic_ns()
        now_ns = super().monotonic_ns()
        past = [end for end in ENDS if end < 0]  # whoever was in the future stays there
        return self.hostile.turn(now_ns, now_ns - 10**9, now_ns + 10**9, -now_ns, *past)


class LyingQueues(Queues):
    """Queues that refuse, lose, invent and break, once they are let loose."""

    hostile: Hostile | None = None

    def _lie(self, honest: Any) -> Any:
        return honest if self.hostile is None else self.hostile.turn(honest)


def lying(name: str) -> Callable[..., Any]:
    honest = getattr(Queues, name)

    def ask(self: LyingQueues, *arguments: Any) -> Any:
        return self._lie(honest(self, *arguments))

    return ask


for _name in ("add", "run", "schedule", "delete", "awake", "exists", "lease"):
    setattr(LyingQueues, _name, lying(_name))
