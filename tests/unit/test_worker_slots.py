"""A slot never dies: whatever a handler, the log or the engine does, it takes the next job."""

import asyncio
import json
import logging
import signal
import sys
import threading

import pytest

from jobqueue import Controller, Job, State, aio
from jobqueue.cmdlog import CommandLogError, DurableController
from jobqueue.cmdlog._files import Files, Mapped
from jobqueue.testing import ManualClock
from jobqueue.testing.waiting import Call, wait_until
from jobqueue.worker import Worker
from jobqueue.worker._attempt import PAUSE_MOST_NS, pause_ns
from tests.shells import KINDS, Shell

every_shell = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(params=["memory", "durable"])
def controller(request, tmp_path):
    made = DurableController(tmp_path) if request.param == "durable" else Controller()
    with made as c:
        yield c
        c._check()


def warnings_of(caplog):
    """What the worker has said aloud."""
    return [
        record
        for record in caplog.records
        if record.name == "jobqueue.worker" and record.levelno >= logging.WARNING
    ]


def processed(controller: Controller, job: Job) -> bytes:
    wait_until(lambda: controller.registry.record(job).processed(), "the result")
    return controller.registry.record(job).result


# ---------------------------------------------------------------- what a handler returns or raises


class HostileMeta(type):
    def __getattribute__(cls, name):
        raise RuntimeError("no name")


class Hostile(metaclass=HostileMeta):
    def __repr__(self):
        raise SystemExit("no text")

    def __getattr__(self, name):
        raise KeyboardInterrupt


class Text(str):
    __slots__ = ()

    def encode(self, *_):
        raise GeneratorExit


class Data(bytes):
    __slots__ = ()

    def __bytes__(self):
        raise SystemExit


def released_view():
    view = memoryview(b"gone")
    view.release()
    return view


RETURNS = {
    "a lone surrogate": lambda: "caf\udce9",
    "a released view": released_view,
    "a number": lambda: 5,
    "an object that raises": Hostile,
    "too much": lambda: bytes(2_000_000),
    "a view of every second byte": lambda: memoryview(b"a-b-")[::2],
    "a str that raises": lambda: Text("text"),
    "bytes that raise": lambda: Data(b"data"),
}
RESULTS = {
    "a view of every second byte": b"ab",
    "a str that raises": b"text",
    "bytes that raise": b"data",
}


class OwnError(BaseException):
    pass


class MuteError(Exception):
    def __str__(self):
        raise KeyboardInterrupt


class TellerError(Exception):
    """Its text is of a kind that cuts itself in its own way."""

    class Text(str):
        __slots__ = ()

        def __getitem__(self, at):
            raise SystemExit

    def __str__(self):
        return self.Text("x" * 100_000)


class HomelessError(Exception):
    __module__ = 5  # type: ignore[assignment]


def cyclic():
    error, cause = ValueError("one"), ValueError("two")
    error.__cause__, cause.__cause__ = cause, error
    return error


RAISES = {
    "its own base": lambda: OwnError("own"),
    "a group": lambda: BaseExceptionGroup("group", [KeyboardInterrupt(), OwnError()]),
    "GeneratorExit": GeneratorExit,
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": lambda: StopIteration(5),
    "StopAsyncIteration": StopAsyncIteration,
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "no text": MuteError,
    "a strange text": TellerError,
    "a long text": lambda: ValueError("x" * 10_000_000),
    "no module": HomelessError,
    "a cycle": cyclic,
    "a lone surrogate": lambda: ValueError("caf\udce9"),
}


@every_shell
@pytest.mark.parametrize("what", RETURNS)
def test_whatever_a_handler_returns(controller, kind, what, caplog):
    shell = Shell(kind, controller, concurrency=1)
    shell.handler("odd", lambda attempt: RETURNS[what]()).handler("ok", lambda attempt: b"fine")
    odd, ok = Job("odd"), Job("ok")
    with shell:
        controller.add(odd)
        result = processed(controller, odd)
        controller.add(ok)
        assert processed(controller, ok) == b"fine"
        assert shell.alive() == 1
    said = warnings_of(caplog)
    if what in RESULTS:
        assert (result, said) == (RESULTS[what], [])
    else:
        assert controller.registry.record(odd).state == State.FAILED
        assert "Error" in json.loads(result)["type"] or what == "an object that raises"
        assert len(said) == 1


@every_shell
@pytest.mark.parametrize("what", RAISES)
def test_whatever_a_handler_raises(controller, kind, what, caplog):
    def odd_handler(attempt):
        raise RAISES[what]()  # noqa: RSE102 - it makes one

    shell = Shell(kind, controller, concurrency=1)
    shell.handler("odd", odd_handler).handler("ok", lambda attempt: b"fine")
    odd, ok = Job("odd"), Job("ok")
    with shell:
        controller.add(odd)
        why = json.loads(processed(controller, odd))
        controller.add(ok)
        assert processed(controller, ok) == b"fine"
        assert shell.alive() == 1
    assert controller.registry.record(odd).state == State.FAILED
    assert sorted(why) == ["message", "type", "where"]
    assert len(why["message"]) <= 1000
    # A coroutine cannot raise StopIteration: Python makes a RuntimeError of it.
    assert why["where"].startswith(__name__) or "Stop" in what
    assert len(warnings_of(caplog)) == 1


def odd_in_process(job):
    what = job.payload.decode()
    if what in RAISES:
        raise RAISES[what]()  # noqa: RSE102 - it makes one
    return RETURNS[what]()


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_whatever_a_handler_does_in_a_process(controller, kind):
    shell = Shell(kind, controller, concurrency=1)
    shell.handler("odd", odd_in_process, process=True)
    whats = [*RETURNS, *(what for what in RAISES if what not in RETURNS)]
    jobs = [Job("odd", what.encode(), ttr=20_000) for what in whats]
    with shell:
        controller.add_many(jobs)
        results = {what: processed(controller, job) for what, job in zip(whats, jobs, strict=True)}
        assert shell.alive() == 1
        assert len(shell.worker._processes._free) == 1
    for what, result in results.items():
        if what in RESULTS:
            assert result == RESULTS[what]
        else:
            assert sorted(json.loads(result)) == ["message", "type", "where"]
    assert {controller.registry.record(job).attempts for job in jobs} == {1}, "one process did all"


# ---------------------------------------------------------------- the log


class Loud(logging.Handler):
    def emit(self, record):
        raise OwnError("the log is full")


def raising_filter(record):
    raise SystemExit("no log")


@every_shell
@pytest.mark.parametrize("how", ["handler", "filter"])
def test_whatever_the_log_raises(controller, kind, how, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(what.exc_type))
    logger = logging.getLogger("jobqueue.worker")
    loud = Loud()
    if how == "handler":
        logger.addHandler(loud)
    else:
        logger.addFilter(raising_filter)
    try:
        shell = Shell(kind, controller, concurrency=2)
        with shell.handler("a", lambda attempt: 1 / 0):
            jobs = [Job("a") for _ in range(5)]
            controller.add_many(jobs)
            for job in jobs:
                assert json.loads(processed(controller, job))["type"] == "ZeroDivisionError"
            assert shell.alive() == 2
    finally:
        logger.removeHandler(loud)
        logger.removeFilter(raising_filter)
    assert len(told) == 5, "each was told of, and once"


# ---------------------------------------------------------------- the engine


class Ailing(Controller):
    """A controller that answers with an error while it is told to."""

    __slots__ = ("asked", "error")

    def __init__(self, **options):
        super().__init__(**options)
        self.error = None
        self.asked = threading.Semaphore(0)

    def _ail(self):
        if self.error is not None:
            self.asked.release()
            raise self.error("not now")


def _ailing(name):
    def verb(self, *args, **kwargs):
        self._ail()
        return getattr(Controller, name)(self, *args, **kwargs)

    return verb


VERBS = ("lease_now", "lease_begin", "complete", "fail", "touch", "release")
for _name in VERBS:
    setattr(Ailing, _name, _ailing(_name))

ERRORS = [CommandLogError, OSError, MemoryError, RuntimeError, SystemExit, OwnError]


@pytest.fixture
def clock():
    return ManualClock()


def heal(controller, clock):
    controller.error = None
    clock.advance(500)


def pausing(shell):
    wait_until(lambda: shell.worker._renewals.pauses, "a pause")


def test_pauses_are_bounded():
    pauses = [pause_ns(failures) for failures in range(1, 100)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (10**7, PAUSE_MOST_NS)


@every_shell
@pytest.mark.parametrize("error", ERRORS)
def test_an_engine_that_gives_no_jobs_for_a_while(clock, kind, error, caplog):
    with Ailing(clock=clock) as c:
        c.error = error
        job = Job("a")
        c.add(job)
        with Shell(kind, c, concurrency=2).handler("a", lambda attempt: b"done") as shell:
            for _ in range(2):
                c.asked.acquire()
            wait_until(lambda: len(shell.worker._renewals.pauses) == 2)
            clock.advance(10)
            for _ in range(2):
                assert c.asked.acquire(timeout=20), "it asks again, after a pause"
            wait_until(lambda: len(shell.worker._renewals.pauses) == 2)
            heal(c, clock)
            assert processed(c, job) == b"done"
            assert shell.alive() == 2
    said = [(record.levelname, record.getMessage()) for record in warnings_of(caplog)]
    assert [level for level, _ in said] == ["ERROR", "WARNING"], said
    assert "can be used again" in said[1][1]


@every_shell
def test_stop_ends_a_pause(clock, kind):
    with Ailing(clock=clock) as c:
        shell = Shell(kind, c, concurrency=3).handler("a", print)
        c.error = OSError
        shell.start()
        wait_until(lambda: len(shell.worker._renewals.pauses) == 3)
        assert Call(shell.stop, 20_000).outcome() is True
        assert shell.alive() == 0
        shell.close()


@every_shell
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("answer", ["complete", "fail"])
def test_an_answer_that_is_not_stored_is_tried_again(clock, kind, error, answer, caplog):
    with Ailing(clock=clock) as c:

        def handler(attempt):
            c.error = error
            if answer == "fail":
                raise ValueError("bad")
            return b"done"

        job = Job("a", ttr=60_000)
        c.add(job)
        with Shell(kind, c, concurrency=1).handler("a", handler) as shell:
            for milliseconds in (10, 20, 40):
                pausing(shell)
                assert c.registry.record(job).state == State.LEASED
                clock.advance(milliseconds)
            pausing(shell)
            heal(c, clock)
            result = processed(c, job)
            assert c.registry.record(job).attempts == 1
            assert shell.alive() == 1
    assert (result == b"done") == (answer == "complete")
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len([text for text in errors if "not stored yet" in text]) == 1
    assert "too late" not in caplog.text


@every_shell
def test_an_answer_is_tried_as_long_as_its_lease_lasts(clock, kind, caplog):
    with Ailing(clock=clock) as c:

        def handler(attempt):
            if attempt.number == 1:
                c.error = CommandLogError
            return b"attempt %d" % attempt.number

        job = Job("a", ttr=900)
        c.add(job)
        shell = Shell(kind, c, concurrency=1).handler("a", handler, touch=False).start()
        pausing(shell)
        clock.advance(901)
        # It may have been about to try once more, and pause from then on: so time goes on, too.
        wait_until(lambda: clock.advance(1) or "while its lease lasted" in caplog.text)
        pausing(shell)
        heal(c, clock)
        assert processed(c, job) == b"attempt 2"
        assert shell.alive() == 1
        assert shell.stop() is False, "an answer was lost"
        shell.close()
    assert "too late" not in caplog.text


@every_shell
def test_a_lease_that_is_not_renewed_at_once_is_renewed_later(clock, kind, caplog):
    with Ailing(clock=clock) as c:
        go = threading.Event()
        job = Job("a", ttr=9000, max_attempts=1)
        c.add(job)
        shell = Shell(kind, c, concurrency=1)
        with shell.handler("a", lambda attempt: b"%d" % attempt.lost, gate=go):
            wait_until(lambda: shell.worker._renewals.running)
            c.error = CommandLogError
            clock.advance(5000)
            heal(c, clock)
            clock.advance(60_000)
            go.set()
            assert processed(c, job) == b"0"
            assert c.registry.record(job).attempts == 1
    assert len([record for record in caplog.records if "not renewed" in record.getMessage()]) == 1


class FullMapped(Mapped):
    def allocate(self, end):
        if FullFiles.full:
            raise OSError(28, "No space left on device")
        super().allocate(end)


class FullFiles(Files):
    """A disk that is full while it is told to be."""

    full = False

    def create_mapped(self, path, size):
        if self.full:
            raise OSError(28, "No space left on device")
        return FullMapped(path, size)


@every_shell
def test_a_disk_that_is_full_for_a_while(tmp_path, clock, kind):
    files = FullFiles()
    with DurableController(
        tmp_path, sync="os", files=files, segment_size=1 << 16, clock=clock
    ) as c:
        go = threading.Event()
        shell = Shell(kind, c, concurrency=3)
        with shell.handler("a", lambda attempt: b"done", gate=go):
            long = Job("a", b"long", ttr=80_000_000)
            c.add(long)
            wait_until(lambda: shell.worker._renewals.running)
            try:
                FullFiles.full = True
                with pytest.raises(CommandLogError):
                    for _ in range(5000):
                        c.add(Job("b", bytes(200)))
                with pytest.raises(CommandLogError):  # and no room for an answer either
                    for _ in range(5000):
                        c.touch(long)
                go.set()
                pausing(shell)
                assert c.registry.record(long).state == State.LEASED
            finally:
                FullFiles.full = False
            clock.advance(1000)
            assert processed(c, long) == b"done"
            jobs = [Job("a") for _ in range(10)]
            c.add_many(jobs)
            wait_until(lambda: c.stats().completed == 11)
            assert shell.alive() == 3


@every_shell
def test_what_the_worker_itself_cannot_begin_goes_back(controller, kind, monkeypatch, caplog):
    """A foreign queue may lease a job of a name that was not asked for."""
    shell = Shell(kind, controller, concurrency=1).handler("a", lambda attempt: b"done")
    begin = shell.worker._policy.begin
    begun = []

    def fail_once(leased):
        begun.append(leased[1])
        if len(begun) == 1:
            raise KeyError("b")
        return begin(leased)

    monkeypatch.setattr(shell.worker._policy, "begin", fail_once)
    job = Job("a")
    with shell:
        controller.add(job)
        assert processed(controller, job) == b"done"
        assert (begun, shell.alive()) == ([1, 2], 1)
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


# ---------------------------------------------------------------- signals that strike a handler


@pytest.fixture
def loop():
    """A loop that the test runs in the main thread, where signals strike."""
    made = asyncio.new_event_loop()
    yield made
    made.run_until_complete(made.shutdown_default_executor())
    made.close()


async def until_done(worker, c, job):
    while not c.registry.record(job).processed():
        await asyncio.sleep(0)
    alive = len(worker._left())
    assert await worker.stop() is True
    return alive


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_a_signal_raises_is_for_the_program(loop, error):
    """The job goes back unspent of a failure, the loop ends as it would, and may run again."""

    def end_program(*_):
        raise error

    async def handler(attempt):
        if attempt.number == 1:
            signal.raise_signal(signal.SIGTERM)
        return b"done"

    kept = signal.signal(signal.SIGTERM, end_program)
    try:
        with Controller() as c:
            job = Job("a")
            worker = aio.Worker(aio.Controller(c), {"a": handler}, concurrency=1)
            loop.call_soon(worker.start)
            c.add(job)
            with pytest.raises(error):
                loop.run_forever()
            record = c.registry.record(job)
            assert (record.state, record.fails) == (State.PENDING, 0)
            assert loop.run_until_complete(until_done(worker, c, job)) == 1
            assert record.result == b"done"
    finally:
        signal.signal(signal.SIGTERM, kept)


def test_ctrl_c_in_a_handler_is_for_the_program(loop):
    async def handler(attempt):
        if attempt.number == 1:
            signal.raise_signal(signal.SIGINT)
        return b"done"

    with Controller() as c:
        job = Job("a")
        worker = aio.Worker(aio.Controller(c), {"a": handler}, concurrency=1)
        loop.call_soon(worker.start)
        c.add(job)
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        assert c.registry.record(job).state == State.PENDING
        assert loop.run_until_complete(until_done(worker, c, job)) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_a_handler_raises_by_itself_is_its_jobs(error):
    """As in a thread: sys.exit() in a handler, in the main thread, does not end the service."""

    async def handler(attempt):
        raise error

    async def main(c, job):
        worker = aio.Worker(aio.Controller(c), {"a": handler}, concurrency=1)
        worker.start()
        c.add(job)
        return await until_done(worker, c, job)

    with Controller() as c:
        job = Job("a")
        assert asyncio.run(main(c, job)) == 1
        assert c.registry.record(job).state == State.FAILED


# ---------------------------------------------------------------- between a lease and its handler


@pytest.mark.parametrize("wait", ["lease_now", "wait_sleep"])
def test_a_job_that_is_leased_as_the_worker_stops_goes_back(wait):
    handled = []

    class Late(Controller):
        """Its lease comes back once the worker, which has not seen the attempt yet, is stopped."""

    def late(self, *arguments):
        leased = getattr(Controller, wait)(self, *arguments)
        if leased is not None and not stops:
            stops.append(Call(worker.stop, 0))
            stops[0].outcome()
        return leased

    setattr(Late, wait, late)
    stops = []
    with Late() as c:
        worker = Worker(c, {"a": handled.append}, concurrency=1)
        if wait == "lease_now":
            c.add(job := Job("a"))
        worker.start()
        if wait == "wait_sleep":
            wait_until(lambda: c.stats().waiting == 1)
            c.add(job := Job("a"))
        wait_until(lambda: c.peek("a") is job, "the job")
        assert stops[0].outcome() is True
        assert handled == []
        assert c.stats().running == 0
