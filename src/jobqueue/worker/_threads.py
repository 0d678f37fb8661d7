"""Worker: handlers in threads.

Locking: none, except to start a thread. Each thread sleeps in the engine until a job comes, and
`stop` wakes it there; one more thread renews leases, and is started when one first has to be.
"""

import random
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait as wait_futures
from types import FrameType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from .. import controller as _controller
from .._blocking import TimerThread
from .._job import MAX_TIMEOUT, Job
from .._records import Waiter
from ..errors import ClosedError, WaitTimeoutError
from ..interfaces import Duration
from ._policy import Attempt, Handler, Policy, Renewals, Retry, duration_ms

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

    from ._processes import Processes

__all__ = ["Worker"]

H = TypeVar("H", bound=Handler)


class Worker:
    """Threads that lease jobs, call the handler of each job's name, and answer for it.

    handlers: functions by name; each takes an Attempt and returns the result (bytes, str or None).
    What a handler raises fails its job, with a reason in JSON; whether and when the job is tried
    again, its ``max_fails`` and ``retry`` say. concurrency: how many jobs at a time. retry: see
    Retry. rng: for its jitter. mp_context: of handlers that run in processes; "spawn" when None.

    While a handler runs, its lease is renewed. Nothing here polls, and no thread waits for a retry.

    >>> with Controller() as c:
    ...     worker = Worker(c, concurrency=2)
    ...     @worker.handler("double")
    ...     def double(attempt):
    ...         return attempt.job.payload * 2
    ...     with worker:
    ...         c.run(Job("double", b"ab"), 1000).result
    b'abab'
    """

    def __init__(
        self,
        controller: _controller.Controller,
        handlers: Mapping[str, Handler] | None = None,
        *,
        concurrency: int = 4,
        retry: Retry | None = None,
        rng: random.Random | None = None,
        mp_context: "BaseContext | None" = None,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {concurrency}")
        self._engine: Final = controller
        self._policy: Final = Policy(controller, handlers, retry or Retry(), rng)
        self._concurrency: Final = concurrency
        self._renewals: Final = Renewals(controller, self._poke)
        self._renewer: TimerThread | None = None
        self._starting: Final = threading.Lock()  # held while the renewer is started
        self._processes: Processes | None = None
        self._mp_context: Final = mp_context
        self._threads: list[threading.Thread] = []
        self._waiters: Final[dict[int, Waiter]] = {}  # of idle threads, by number
        self._stopping = self._ended = False
        self._at_work: Final = set(range(concurrency))  # numbers of threads that have not ended
        self._bell: _Bell | None = None
        self._manual: Final = self._renewals.attach_to(controller.clock)

    def handler(
        self, name: str, *, retry: Retry | None = None, touch: bool = True, process: bool = False
    ) -> Callable[[H], H]:
        """Decorate the handler of a name.

        retry: its own; touch: whether its lease is renewed while it runs. process: run it in
        a process of its own, which is killed when the TTR is over (so its lease is not renewed);
        the handler is then an importable function that takes the Job.
        """
        if self._threads:
            raise RuntimeError("the worker has been started: its handlers are fixed")
        return self._policy.decorator(name, retry=retry, touch=touch, process=process)

    # ------------------------------------------------------------ beginning and ending

    def start(self) -> None:
        """Start the threads. A worker is started once."""
        if self._threads:
            raise RuntimeError("a worker is started once")
        names = self._policy.names()
        self._processes = self._policy.processes(self._mp_context)
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(number, names),
                name=f"jobqueue-worker-{number}",
                daemon=True,
            )
            for number in range(self._concurrency)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, drain: Duration = 30_000) -> bool:
        """Take no more jobs, and wait up to ``drain`` (ms or timedelta) for those that are running.

        Their attempts are told at once (``attempt.cancelled``). What is not finished in time is
        released, so that another worker may have it: a thread cannot be stopped, but what it
        answers then is refused; a process is killed. Returns whether all was finished in time.
        In a handler it only tells the worker to stop.
        """
        end = time.monotonic() + duration_ms(drain) / 1000
        self._stop_begin()
        if threading.current_thread() in self._threads:
            return False
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return self._stop_end()

    def run(self, drain: Duration = 30_000) -> bool:
        """Start, and stop on SIGTERM or SIGINT, as a main program does; a second ends the drain.

        Returns as ``stop`` when all is stopped: also by ``stop``, or when the controller is closed.
        Call it from the main thread.
        """
        drain_s = duration_ms(drain) / 1000
        with _Bell() as bell:
            self._bell = bell
            self.start()
            self._sleep(bell, 1, None)
            self._stop_begin()
            self._sleep(bell, 2, time.monotonic() + drain_s)
            return self._stop_end()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _sleep(self, bell: "_Bell", signals: int, end: float | None) -> None:
        """Until so many signals or a stop, until all threads have ended, or time is over."""
        while self._at_work and not self._ended and bell.signals < signals:
            if not bell.wait(end):
                return

    def _stop_begin(self) -> None:
        self._stopping = True
        for waiter in list(self._waiters.values()):
            self._engine._lapse(waiter)
        for attempt in list(self._renewals.running):
            attempt.cancelled = True

    def _stop_end(self) -> bool:
        """Let go of what is still running; whether nothing was."""
        left = list(self._renewals.running)
        for attempt in left:
            self._policy.released(attempt)
            attempt.lose()
        self._renewals.ended = True
        if self._renewer is not None:
            self._renewer.poke()
            self._renewer.join()
        if self._processes is not None:
            self._processes.close()
        self._ended = True
        self._ring()
        return not left

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.ring()

    # ------------------------------------------------------------ a thread's work

    def _work(self, number: int, names: str | list[str]) -> None:
        try:
            while not self._stopping:
                leased = self._take(number, names)
                if leased is not None:
                    self._handle(leased)
        except ClosedError:
            pass
        finally:
            self._at_work.discard(number)
            self._ring()

    def _take(self, number: int, names: str | list[str]) -> tuple[Job, int, int] | None:
        """The next job; None when there is nothing more to take."""
        leased: tuple[Job, int, int] | None = self._engine._lease_now(names, MAX_TIMEOUT, True)
        if leased is not None:
            return leased
        waiter = self._engine._lease_begin(names, MAX_TIMEOUT, None, True)
        self._waiters[number] = waiter
        if self._stopping:
            self._engine._lapse(waiter)
        try:
            leased = self._engine._wait(waiter, names, MAX_TIMEOUT)
        except WaitTimeoutError:
            return None
        finally:
            del self._waiters[number]
        return leased

    def _handle(self, leased: tuple[Job, int, int]) -> None:
        attempt = self._policy.begin(leased)
        self._renewals.begin(attempt)
        attempt.cancelled = self._stopping
        try:
            if attempt.rule.process:
                self._handle_in_process(attempt)
                return
            value = attempt.rule.handler(attempt)
        except BaseException as error:  # noqa: BLE001 - whatever it raises is its job's failure
            self._policy.failed(attempt, error)
        else:
            self._policy.succeeded(attempt, value)
        finally:
            self._renewals.end(attempt)

    def _handle_in_process(self, attempt: Attempt) -> None:
        assert self._processes is not None  # noqa: S101 - made at the start, for rules like this
        slot, future = self._processes.begin(attempt)
        wait_futures([future])
        self._processes.end(attempt, slot, future)

    def _poke(self) -> None:
        """A lease is to be renewed earlier than was known."""
        if self._manual:  # whoever advances the clock sees to it
            return
        with self._starting:
            if self._renewer is None:
                self._renewer = TimerThread(self._renewals)
                self._renewer.start()
                return
        self._renewer.poke()


class _Bell:
    """What wakes a main program: SIGTERM and SIGINT, and `ring` from any thread.

    A signal may strike another thread, or just before this one falls asleep; only the descriptor
    that Python writes to at once, wherever it strikes, wakes a sleeper in any case.
    """

    def __init__(self) -> None:
        self.signals = 0

    def __enter__(self) -> Self:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._fd = signal.set_wakeup_fd(self._far.fileno(), warn_on_full_buffer=False)
        self._kept = {
            number: signal.signal(number, self._struck)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd)
        self._near.close()
        self._far.close()

    def _struck(self, _number: int, _frame: FrameType | None) -> None:
        self.signals += 1

    def ring(self) -> None:
        try:
            self._far.send(b"\0")
        except OSError:
            pass  # it is full, so somebody is about to wake; or closed, and nobody sleeps

    def wait(self, end: float | None) -> bool:
        """Sleep until it rings; False when the time is over first."""
        timeout = None if end is None else max(0.0, end - time.monotonic())
        if not select.select([self._near], [], [], timeout)[0]:
            return False
        self._near.recv(4096)
        return True
