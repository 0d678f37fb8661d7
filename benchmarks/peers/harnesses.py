"""Peers under the conformance suite: what each offers of a Controller's calls, and no more.

An adapter translates: it knows which of its peer's ids is which job's, and keeps no state. Times of
these peers are real, so whatever waits for a clock is lacking. beanstalkd is started for the run.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import os
import pickle
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from jobqueue import (
    ID,
    ClosedError,
    Job,
    LeaseExpiredError,
    NotFoundError,
    RunResult,
    WaitTimeoutError,
    validate_name,
    validate_result,
    validate_timeout,
)
from jobqueue.testing.harness import Harness, Unavailable

START_SECONDS = 5.0


def to_names(names: str | Sequence[str], timeout: object) -> list[str]:
    """The names of a lease, valid."""
    names = list(names) if isinstance(names, list | tuple) else [names]  # type: ignore[list-item]
    for name in names:
        validate_name(name)
    validate_timeout(timeout)
    return names


class Closing:
    """`with` closes the engine."""

    def close(self) -> None:
        """End it; peers in the process have nothing to end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# ---------------------------------------------------------------- queue.PriorityQueue


class StandardEngine(Closing):
    """A queue.PriorityQueue for each name."""

    def __init__(self) -> None:
        self._queues: dict[str, queue.PriorityQueue[Any]] = defaultdict(queue.PriorityQueue)
        self._order = itertools.count()

    def add(self, job: Job) -> None:
        self._queues[job.name].put((-job.priority, next(self._order), job))

    def lease(self, names: str | Sequence[str], timeout: int) -> Job:
        for name in to_names(names, timeout):
            with contextlib.suppress(queue.Empty):
                job: Job = self._queues[name].get_nowait()[2]
                return job
        raise WaitTimeoutError(f"nothing in {names}")


class PriorityQueueHarness(Harness):
    name = "queue.PriorityQueue"

    def open(self, **options: Any) -> StandardEngine:
        return StandardEngine(**options)


# ---------------------------------------------------------------- huey in memory


class HueyEngine(Closing):
    """A MemoryHuey for each name; a task carries the job. Its consumer is left out."""

    def __init__(self) -> None:
        self._api = importlib.import_module("huey")
        self._hueys: dict[str, Any] = {}
        self._names: dict[ID, str] = {}  # an id alone does not say which of them has it

    def _huey(self, name: str) -> tuple[Any, Any]:
        if name not in self._hueys:
            huey = self._api.MemoryHuey(name, results=True)
            self._hueys[name] = (huey, huey.task()(bytes))
        pair: tuple[Any, Any] = self._hueys[name]
        return pair

    def add(self, job: Job) -> None:
        huey, task = self._huey(job.name)
        huey.enqueue(task.s(pickle.dumps(job), priority=job.priority, id=str(job.id)))
        self._names[job.id] = job.name

    def lease(self, names: str | Sequence[str], timeout: int) -> Job:
        for name in to_names(names, timeout):
            if (task := self._huey(name)[0].dequeue()) is not None:
                job: Job = pickle.loads(task.args[0])  # noqa: S301 - our own
                return job
        raise WaitTimeoutError(f"nothing in {names}")

    def complete(self, id: Any, result: Any = b"") -> None:
        validate_result(result)
        id = ID(id)
        self._of(id).put_result(str(id), bytes(result))

    def result(self, id: Any, timeout: int) -> RunResult:
        validate_timeout(timeout)
        id = ID(id)
        if (result := self._of(id).get(str(id), peek=True)) is None:
            raise WaitTimeoutError(f"no result of {id}")
        return RunResult(True, result)

    def _of(self, id: ID) -> Any:
        if id not in self._names:
            raise NotFoundError(f"no job {id}")
        return self._huey(self._names[id])[0]


class HueyHarness(Harness):
    name = "huey"
    has = frozenset({"complete", "results"})

    def __init__(self) -> None:
        if importlib.util.find_spec("huey") is None:
            raise Unavailable("huey is not installed (dependency group 'bench')")
        super().__init__()

    def open(self, **options: Any) -> HueyEngine:
        return HueyEngine(**options)


# ---------------------------------------------------------------- beanstalkd


@functools.cache
def beanstalkd() -> tuple[subprocess.Popen[bytes], str]:
    """A server for all tests of this process, and its socket; it ends with the process."""
    folder = tempfile.mkdtemp(prefix="beanstalkd-")
    path = Path(folder) / "socket"
    command = ["beanstalkd", "-l", f"unix:{path}", "-z", str(1 << 21)]
    process = subprocess.Popen(command, preexec_fn=_end_with_parent)  # noqa: PLW1509 - no threads yet
    deadline = time.monotonic() + START_SECONDS
    while not path.is_socket():
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            raise Unavailable("beanstalkd did not start")
        time.sleep(0.01)
    return process, str(path)


def _end_with_parent() -> None:
    """Linux: SIGTERM when the parent is gone."""
    with contextlib.suppress(Exception):
        ctypes = importlib.import_module("ctypes")
        ctypes.CDLL(None).prctl(1, 15)


class Connection:
    """A client of beanstalkd: one command at a time, none once it is closed."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return functools.partial(self._send, getattr(self._client, name))

    def _send(self, command: Any, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            if self._closed:
                raise ClosedError("the connection is closed")
            return command(*args, **kwargs)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._client.close()


class BeanstalkEngine(Closing):
    """Tubes of one server under names of this engine's own; a job's body carries the job.

    The server gives jobs ids of its own, and only the client that has reserved a job may answer.
    """

    _numbers = itertools.count()

    def __init__(self, socket: str) -> None:
        self._api = importlib.import_module("greenstalk")
        self._prefix = f"{os.getpid()}.{next(self._numbers)}."
        self._client = Connection(self._api.Client(socket, encoding=None))
        self._using = threading.Lock()  # which tubes commands are about is the connection's
        self._ids: dict[ID, int] = {}
        self._reserved: dict[ID, Any] = {}

    def _tube(self, name: str) -> str:
        return self._prefix + name

    def add(self, job: Job) -> None:
        with self._using:
            self._client.use(self._tube(job.name))
            self._ids[job.id] = self._client.put(
                pickle.dumps(job), priority=(1 << 31) - 1 - job.priority, ttr=job.ttr // 1000
            )

    def lease(self, names: str | Sequence[str], timeout: int) -> Job:
        tubes = [self._tube(name) for name in to_names(names, timeout)]
        try:
            with self._using:
                for tube in tubes:
                    self._client.watch(tube)
                for tube in set(self._client.watching()).difference(tubes):
                    self._client.ignore(tube)
                reserved = self._client.reserve(timeout=0)
        except self._api.TimedOutError:
            raise WaitTimeoutError(f"nothing in {names}") from None
        job: Job = pickle.loads(reserved.body)  # noqa: S301 - our own
        self._reserved[job.id] = reserved
        return job

    def complete(self, id: Any, result: Any = b"") -> None:
        """There are no results; a job that is done is deleted."""
        validate_result(result)
        self.delete(id)

    def fail(self, id: Any, result: Any = b"") -> None:
        validate_result(result)
        self._answer(id, self._client.bury)

    def touch(self, id: Any) -> None:
        self._answer(id, self._client.touch)

    def release(self, id: Any) -> None:
        id = ID(id)
        reserved = self._reserved.get(id)
        priority = (1 << 31) - 1 - pickle.loads(reserved.body).priority if reserved else 0  # noqa: S301
        self._answer(id, functools.partial(self._client.release, priority=priority))

    def _answer(self, id: Any, command: Any) -> None:
        id = ID(id)
        self._known(id)
        try:
            command(self._reserved[id])
        except (KeyError, self._api.NotFoundError):
            raise LeaseExpiredError(f"job {id} is not reserved") from None

    def delete(self, id: Any) -> None:
        id = ID(id)
        try:
            self._client.delete(self._known(id))
        except self._api.NotFoundError:
            raise NotFoundError(f"no job {id}") from None
        del self._ids[id]

    def start_attempt(self, id: Any) -> None:
        id = ID(id)
        try:
            self._reserved[id] = self._client.reserve_job(self._known(id))
        except self._api.NotFoundError:
            raise LeaseExpiredError(f"job {id} cannot be reserved") from None

    def pause(self, name: str) -> None:
        validate_name(name)
        self._client.use(self._tube(name))
        self._client.pause_tube(self._tube(name), 86_400)

    def resume(self, name: str) -> None:
        validate_name(name)
        self._client.use(self._tube(name))
        self._client.pause_tube(self._tube(name), 0)

    def _known(self, id: ID) -> int:
        if id not in self._ids:
            raise NotFoundError(f"no job {id}")
        return self._ids[id]

    def close(self) -> None:
        self._client.close()


class BeanstalkdHarness(Harness):
    name = "beanstalkd"
    has = frozenset({"complete", "fail", "delete", "leases", "pause"})

    def __init__(self) -> None:
        if shutil.which("beanstalkd") is None:
            raise Unavailable("beanstalkd is not installed")
        if importlib.util.find_spec("greenstalk") is None:
            raise Unavailable("greenstalk is not installed (dependency group 'bench')")
        super().__init__()

    def open(self, **options: Any) -> BeanstalkEngine:
        return BeanstalkEngine(beanstalkd()[1], **options)


PEERS: tuple[type[Harness], ...] = (PriorityQueueHarness, HueyHarness, BeanstalkdHarness)
