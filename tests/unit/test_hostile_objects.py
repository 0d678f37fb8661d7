"""Objects that lie about themselves; parts that were never built; clocks at the ends of time.

What was read of an argument is what is used, and it is read once.
"""

import enum
import gc
import importlib
import inspect
import pkgutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from random import Random
from typing import Any

import pytest

import jobqueue
from jobqueue import (
    ID,
    MAX_TTL,
    Controller,
    InvalidIDError,
    InvalidPayloadError,
    InvalidTimeError,
    InvalidTTLError,
    Job,
    JobQueueError,
)
from jobqueue._objects.registry import Waiter
from jobqueue.testing import ManualClock
from jobqueue.testing.model.parts import Queues

GOOD = uuid.UUID("12345678-1234-4234-9234-123456789012")


# ---------------------------------------------------------------- ids


def lying_uuid(says: Any) -> uuid.UUID:
    class Lying(uuid.UUID):
        asked = 0

        @property
        def bytes(self) -> Any:
            type(self).asked += 1
            return says(self, type(self).asked)

    return Lying(GOOD.hex)


@pytest.mark.parametrize(
    "says",
    [
        lambda self, _: self,
        lambda self, _: None,
        lambda self, _: b"short",
        lambda self, _: bytearray(16),
        lambda self, _: str(GOOD),
        lambda self, _: memoryview(GOOD.bytes),
        lambda self, _: GOOD,
    ],
)
def test_a_uuid_whose_bytes_are_none(says: Any) -> None:
    with pytest.raises(InvalidIDError, match="16 bytes"):
        ID(lying_uuid(says))


def test_a_uuid_is_asked_once() -> None:
    lying = lying_uuid(lambda _, asked: GOOD.bytes if asked == 1 else b"")
    assert bytes(ID(lying)) == GOOD.bytes


def test_a_uuid_that_was_not_built() -> None:
    with pytest.raises(InvalidIDError):
        ID(uuid.UUID.__new__(uuid.UUID))


def test_bytes_of_a_subclass_are_what_they_are() -> None:
    class Lying(bytes):
        def __len__(self) -> int:
            return 3

        def __bytes__(self) -> bytes:
            return b"lie"

    assert bytes(ID(Lying(GOOD.bytes))) == GOOD.bytes
    assert Job("a", Lying(b"true")).payload == b"true"


# ---------------------------------------------------------------- names


class Colour(str, enum.Enum):  # noqa: UP042 - a StrEnum is shown as what it is
    """The usual way to name queues before StrEnum."""

    RED = "red"


class Label(str):
    """A str that says it is another one."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another name, and no valid one"

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("name", [Colour.RED, Label("red")], ids=["enum", "label"])
@pytest.mark.parametrize("queues", [None, Queues], ids=["native", "foreign"])
def test_a_name_is_what_was_read_of_it(name: Any, queues: Any) -> None:
    with Controller(queues=None if queues is None else queues(), clock=ManualClock()) as c:
        c.add(job := Job(name))
        c.add(Job("blue"))
        assert type(job.name) is str
        assert job.name == "red"
        c.pause(name)
        assert c.queue_stats("red").paused
        assert not c.queue_stats("blue").paused
        assert c.queue_stats(name).paused
        assert c.queue_stats(name).ready == 1
        c.resume(name)
        assert not c.queue_stats("red").paused
        assert c.jobs(name) == [job]
        assert c.peek(name) == job
        assert c.scheduled_jobs(name) == []
        assert c.dead(name) == []
        assert c.lease(name, 0) == job
        c.release(job)
        assert c.lease([name], 0) == job
        c.release(job)
        assert c.lease_many([name], 2, 0) == [job]
        if queues is None:
            c.limit(name, max_jobs=7)
            assert c.queue_stats("red").max_jobs == 7
            assert len(c.queues.queue(name)) == 0
        assert c.names() == ["blue", "red"]
        assert all(type(name) is str for name in c.names())
        c._check()


@pytest.mark.parametrize("queues", [None, Queues], ids=["native", "foreign"])
def test_names_are_read_once(queues: Any) -> None:
    with Controller(queues=None if queues is None else queues()) as c:
        c.add_many([Job("a"), Job("a"), Job("b")])
        assert c.lease(iter(["a"]), 0).name == "a"  # type: ignore[arg-type]
        assert len(c.lease_many(iter(["a", "b"]), 5, 0)) == 2  # type: ignore[arg-type]


# ---------------------------------------------------------------- times


class Lasting(timedelta):
    """A timedelta that says it lasts longer than anything."""

    days = property(lambda self: 10**9)  # type: ignore[assignment]
    seconds = property(lambda self: object())  # type: ignore[assignment]
    microseconds = property(lambda self: 1 // 0)  # type: ignore[assignment]


def test_a_duration_is_what_it_is() -> None:
    assert Job("a", ttl=Lasting(milliseconds=7)).ttl == 7
    with pytest.raises(InvalidTTLError):
        Job("a", ttl=Lasting(days=31))
    clock = ManualClock()
    with Controller(clock=clock) as c:
        c.add(Job("a", ttr=Lasting(milliseconds=5)))
        c.lease("a", Lasting(0))
        clock.advance(5)
        assert c.queue_stats("a").ready == 1


class Moment(datetime):
    """A datetime that says it is another time."""

    year = property(lambda self: 1)  # type: ignore[assignment]

    def __sub__(self, other: object) -> Any:
        return timedelta(days=999_999)

    def utcoffset(self) -> Any:
        return "no offset"


class Fickle(tzinfo):
    """A timezone that answers differently each time."""

    def __init__(self, *offsets: timedelta | None) -> None:
        self.offsets = list(offsets)

    def utcoffset(self, _: datetime | None) -> timedelta | None:
        return self.offsets.pop(0)

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> str:
        return "fickle"


def test_a_time_is_what_it_is_and_its_zone_is_asked_once() -> None:
    true = datetime(2030, 5, 6, 7, 8, 9, 10, tzinfo=timezone(timedelta(hours=-3)))
    lying = Moment(2030, 5, 6, 7, 8, 9, 10, tzinfo=timezone(timedelta(hours=-3)))
    assert Job("a", time=lying).time == true
    fickle = Fickle(Lasting(hours=2), None, timedelta(hours=9))
    job = Job("a", time=datetime(2030, 1, 1, tzinfo=fickle))
    assert job.time == datetime(2029, 12, 31, 22, tzinfo=UTC)
    assert len(fickle.offsets) == 2
    with pytest.raises(InvalidTimeError, match="naive"):
        Job("a", time=datetime(2030, 1, 1, tzinfo=Fickle(None, timedelta(0))))
    for year in (1677, 1, 2263, 9999):
        with pytest.raises(InvalidTimeError):
            Job("a", time=datetime(year, 1, 1, tzinfo=UTC))


class Posing:
    """Not what its class says."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    __class__ = property(lambda self: self.kind)  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [datetime, timedelta, str, bytes, int, uuid.UUID, Job, ID])
def test_what_only_poses_is_refused(kind: type) -> None:
    thing: Any = Posing(kind)
    with Controller() as c:
        for call in (
            lambda: Job("a", time=thing),
            lambda: Job("a", created=thing),
            lambda: Job("a", ttl=thing),
            lambda: Job("a", priority=thing),
            lambda: Job("a", thing),
            lambda: Job(thing),
            lambda: c.add(thing),
            lambda: c.delete(thing),
            lambda: c.lease("a", thing),
            lambda: c.add_many([thing]),
        ):
            with pytest.raises((TypeError, ValueError)):
                call()


# ---------------------------------------------------------------- buffers


def test_buffers_that_cannot_be_read() -> None:
    released = memoryview(b"released")
    released.release()
    with pytest.raises(InvalidPayloadError, match="released"):
        Job("a", released)
    assert Job("a", memoryview(b"abcdef")[::-2]).payload == b"fdb"
    assert Job("a", memoryview(bytes(range(8))).cast("B", (2, 2, 2))).payload == bytes(range(8))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ came with 3.12")
def test_a_buffer_that_is_another_each_time() -> None:
    class Fickle:
        def __init__(self) -> None:
            self.sizes = [3, 2**21]

        def __buffer__(self, _: int) -> memoryview:
            return memoryview(bytes(self.sizes.pop(0)))

    assert len(Job("a", Fickle()).payload) == 3  # type: ignore[arg-type]


# ---------------------------------------------------------------- numbers and chance


class Index:
    """Turns into a number while it calls a verb."""

    def __init__(self, act: Any) -> None:
        self.act = act

    def __index__(self) -> int:
        self.act()
        return 1


@pytest.mark.parametrize("queues", [None, Queues], ids=["native", "foreign"])
def test_chance_that_calls_verbs(queues: Any) -> None:
    class Meddling(Random):
        def randrange(self, *limits: Any) -> int:
            c.delete_many([job.id for job in c.jobs("a")[:1]])
            return super().randrange(*limits)

        def shuffle(self, x: Any) -> None:
            c.add(Job("b"))
            super().shuffle(x)

    c = Controller(rng=Meddling(1), queues=None if queues is None else queues())
    with c:
        c.add_many([Job(name) for name in "abababab"])
        try:
            assert c.lease_many(["a", "b"], 6, 0)
        except jobqueue.WaitTimeoutError:
            pass
        c._check()


# ---------------------------------------------------------------- what was never built


def native_types() -> Iterator[type]:
    for module in pkgutil.walk_packages(jobqueue.__path__, "jobqueue."):
        name = module.name.rpartition(".")[2]
        if name.startswith("_") and not name.startswith("__"):
            loaded = importlib.import_module(module.name)
            if getattr(loaded, "__file__", "").endswith((".so", ".pyd")):
                for thing in vars(loaded).values():
                    if inspect.isclass(thing) and thing.__module__ == module.name:
                        yield thing


UNBUILT = """
import faulthandler, importlib, itertools, sys
faulthandler.enable()
from jobqueue import *
module, name, bare = sys.argv[1:]
kind = getattr(importlib.import_module(module), name)
if bare == "subclass":
    class Bare(kind):
        def __init__(self, *_, **__): pass
    kind = Bare
try:
    made = kind.__new__(kind)
except TypeError:
    sys.exit(0)
job = Job("m")
waiter = importlib.import_module("jobqueue._objects.registry").Waiter
pool = ["m", 0, job, [job], [(job, b"")], job.id, None, 5, RunRecord(job), [], b"",
        waiter.__new__(waiter), lambda *_: None, WorkQueue(), Registry(), TimerWheel().arm(5)]
not_called = ("__class__", "__init_subclass__", "__reduce__", "__reduce_ex__", "__getattribute__")
refused = []
for method in dir(made):
    if method in not_called:
        continue
    try:
        call = getattr(made, method)
    except BaseException:
        continue
    if not callable(call):
        continue
    pairs = list(itertools.product(pool, repeat=2))
    sets = [(), *((a,) for a in pool), *pairs, *((*pair, 0) for pair in pairs)]
    for arguments in sets:
        try:
            call(*arguments)
        except BaseException as error:
            if isinstance(error, TypeError) and "was not called" in str(error):
                refused.append(method)
                break
print(sorted(set(refused)))
"""


@pytest.mark.parametrize("kind", sorted(native_types(), key=str), ids=lambda kind: kind.__name__)
def test_no_native_object_crashes_for_want_of_its_init(kind: type) -> None:
    if issubclass(kind, enum.Enum):
        pytest.skip("an enumeration")
    if kind.__module__.startswith("jobqueue.cmdlog"):
        pytest.skip("has tests of its own in tests/cmdlog")
    bares = ["new"]
    if kind.__flags__ & (1 << 10):
        bares.append("subclass")
    for bare in bares:
        done = subprocess.run(
            [sys.executable, "-c", UNBUILT, kind.__module__, kind.__name__, bare],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]


def test_each_verb_of_an_unbuilt_controller_says_so() -> None:
    class Forgetful(Controller):
        def __init__(self) -> None:
            pass

    c = Forgetful()
    job = Job("m")
    calls: dict[str, tuple[Any, ...]] = {
        "add": (job,), "add_many": ([job],), "schedule": (job,), "lease": ("m", 0),
        "lease_many": ("m", 1, 0), "complete": (job,), "complete_many": ([(job, b"")],),
        "fail": (job,), "touch": (job,), "release": (job,), "start_attempt": (job,),
        "delete": (job,), "delete_many": ([job],), "expire": (job,), "timeout_attempt": (job,),
        "kick": (job,), "dead": ("m",), "peek": ("m",), "jobs": ("m",), "scheduled_jobs": ("m",),
        "names": (), "stats": (), "queue_stats": ("m",), "pause": ("m",), "resume": ("m",),
        "limit": ("m",), "handle_expire": (None,), "expire_func": (),
        "handle_timeout_attempt": (None,), "timeout_attempt_func": (), "run": (job, 0),
        "result": (job, 0), "explain": (job,), "observe": (print,), "close": (), "__enter__": (),
    }  # fmt: skip
    for name, arguments in calls.items():
        with pytest.raises(TypeError, match="__init__ was not called"):
            getattr(c, name)(*arguments)
    with pytest.raises(TypeError, match="__init__ was not called"), c.attempt("m", 0):
        pass
    assert c.next_deadline_ns() is None
    c.fire_due()
    repr(c)
    Controller.__init__(c)
    c.add(job)
    assert c.lease("m", 0) == job
    c.close()


def test_a_controller_whose_init_failed_can_be_built() -> None:
    class Broken(ManualClock):
        fails = True

        def monotonic_ns(self) -> int:
            if self.fails:
                raise OSError("no clock")
            return super().monotonic_ns()

    clock = Broken()
    c = Controller.__new__(Controller)
    with pytest.raises(OSError, match="no clock"):
        c.__init__(clock=clock)  # type: ignore[misc]
    with pytest.raises(TypeError, match="was not called"):
        c.stats()
    clock.fails = False
    c.__init__(clock=clock)  # type: ignore[misc]
    c.add(Job("a"))
    with pytest.raises(TypeError, match="built once"):
        c.__init__()  # type: ignore[misc]
    assert c.stats().ready == 1
    c.close()


def test_waiters_of_nobody_and_of_others() -> None:
    with Controller() as c, Controller() as other:
        waiter = other.lease_begin("a", 60_000, lambda _: None)
        for stranger in (Waiter.__new__(Waiter), waiter):
            for call in (
                lambda stranger=stranger: c.wait_sleep(stranger, None, 0),
                lambda stranger=stranger: c.wait_finish(stranger, None, 0),
                lambda stranger=stranger: c.wait_abandon(stranger),
                lambda stranger=stranger: c.wait_lapse(stranger),
            ):
                with pytest.raises(TypeError, match="not made by"):
                    call()
        assert (c.stats().waiting, other.stats().waiting) == (0, 1)
        other.wait_abandon(waiter)


# ---------------------------------------------------------------- clocks


class Wild:
    """A clock that says what it is told to."""

    def __init__(self) -> None:
        self.wall: Any = 10**18
        self.mono: Any = 10**15

    def now_ns(self) -> Any:
        return self.wall

    def monotonic_ns(self) -> Any:
        return self.mono


ENDS = (
    *(0, 1, -1, 10**18, 2**62, -(2**62), 2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1),
    *(9_214_000_000 * 10**9, 2**63 - 1 - 86_400 * 30 * 10**9),
)


def test_clocks_at_the_ends_of_time(rng: Random) -> None:
    for _ in range(60):
        clock = Wild()
        with Controller(clock=clock, history=4, result_ttl=MAX_TTL) as c:  # type: ignore[arg-type]
            told: list[Any] = []
            c.observe(told.append)
            for _ in range(30):
                clock.wall, clock.mono = rng.choice(ENDS), rng.choice(ENDS)
                try:
                    match rng.randrange(9):
                        case 0:
                            c.add(Job("a", ttl=rng.choice((1, MAX_TTL))))
                        case 1:
                            late = datetime(2262, 2, 1, tzinfo=UTC)
                            c.schedule(Job("a", time=rng.choice((late, late.replace(year=1680)))))
                        case 2:
                            c.lease("a", 0)
                        case 3:
                            for job in c.jobs("a", 0, 2):
                                c.fail(job, b"", delay=rng.choice((0, 86_400_000)))
                        case 4:
                            c.explain(next(iter(c.registry)).job)  # type: ignore[arg-type]
                        case 5:
                            c.complete(next(iter(c.registry)).job)  # type: ignore[arg-type]
                        case 6:
                            c._tick()
                        case 7:
                            c.fire_due()
                            c.next_deadline_ns()
                        case 8:
                            c.kick(c.dead("a")[0])
                except (JobQueueError, StopIteration, IndexError):
                    pass
                c._check()
                [record.timers for record in c.registry]


@pytest.mark.parametrize("says", [None, True, 1.5, "0", b"", object(), Index(lambda: None)])
def test_clocks_that_say_no_number(says: Any) -> None:
    clock = Wild()
    with Controller(clock=clock) as c:  # type: ignore[arg-type]
        c.add(Job("a"))
        for field in ("wall", "mono"):
            true = getattr(clock, field)
            setattr(clock, field, says)
            with pytest.raises(TypeError, match=r"now_ns|monotonic_ns"):
                c.lease("a", 0)
            setattr(clock, field, true)
        assert c.lease("a", 0).name == "a"
        c._check()


@pytest.mark.parametrize("says", [2**63, -(2**63) - 1, 2**200])
def test_clocks_that_say_too_much(says: int) -> None:
    """They are broken; what is here must not end for that."""
    clock = Wild()
    with Controller(clock=clock) as c:  # type: ignore[arg-type]
        c.add(job := Job("a"))
        for field in ("wall", "mono"):
            true = getattr(clock, field)
            setattr(clock, field, says)
            with pytest.raises(InvalidTimeError, match="64 bits"):
                c.names()
            setattr(clock, field, true)
        assert c.lease("a", 0) == job


def test_a_clock_that_calls_verbs() -> None:
    class Meddling(Wild):
        depth = 0

        def monotonic_ns(self) -> int:
            if self.depth < 2:
                self.depth += 1
                try:
                    c.add(Job("a"))
                    c.lease("a", 0)
                    c.delete_many([record.job.id for record in c.registry if record.job])
                except (NameError, JobQueueError):
                    pass  # it is not built yet, or the other took the job
                finally:
                    self.depth -= 1
            return super().monotonic_ns()  # type: ignore[no-any-return]

    clock = Meddling()
    c = Controller(clock=clock)  # type: ignore[arg-type]
    with c:
        for _ in range(20):
            c.add(Job("a"))
            c.stats()
            c.jobs("a")
            c._check()


def test_time_ends_in_2262() -> None:
    """What ends later than that ends then; an advance beyond comes back."""
    clock = ManualClock(datetime(2262, 1, 1, tzinfo=UTC))
    with Controller(clock=clock) as c:
        c.add(job := Job("m", ttl=MAX_TTL))
        c.schedule(Job("m", ttl=1, time=datetime(2262, 2, 1, tzinfo=UTC)))
        clock.advance(timedelta(days=20))
        c.add(last := Job("n", ttl=MAX_TTL))
        clock.advance(timedelta(days=900))
        assert job not in c.registry
        assert last not in c.registry
        assert c.stats().records == 0
        c._check()


def test_timers_keep_what_they_have_left_when_clocks_change() -> None:
    """Also if the collector lets code of others run meanwhile; and those who wait."""
    first, second = ManualClock(), ManualClock(datetime(2200, 1, 1, tzinfo=UTC))
    c = Controller(clock=first)
    jobs = [Job("a", ttl=1000 + i) for i in range(200)]
    c.add_many(jobs)
    waiter = c.lease_begin("empty", 60_000, lambda _: None)
    registry, queues = c.registry, c.queues
    del c
    gc.collect()

    def act(phase: str, _: object) -> None:
        if phase == "start" and jobs:
            registry.delete(jobs.pop())

    gc.callbacks.append(act)
    gc.set_threshold(1)
    try:
        with_second = Controller(registry, queues, clock=second)
    finally:
        gc.set_threshold(100_000)
        gc.callbacks.remove(act)
    registry._check()
    second.advance(999)
    assert len(registry) == len(jobs)
    second.advance(500)
    assert len(registry) == 0
    with_second.wait_abandon(waiter)
    with_second._check()
    with_second.close()
