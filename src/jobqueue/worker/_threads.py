"""Worker: handlers in threads.

Invariant: nothing that a handler, the log or the engine does ends a thread before the worker stops
or the controller is closed.
Locking: none, except to start a thread. Each thread sleeps in the engine until a job comes, and
`stop` wakes it there; one more thread renews leases, and is started when one first has to be.
"""

import contextvars
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from .._engine.timer_thread import TimerThread
from .._objects.rules import MAX_TIMEOUT
from .._ports import Leased, LeasePort
from ..errors import ClosedError, WaitTimeoutError
from ..interfaces import Duration
from ._attempt import pause_ns
from ._handlers import check_spawned
from ._living import Started, started, stopped
from ._policy import Answer, Attempt, Handler, Policy, Renewals, Retry, duration_ms
from ._wake_up import WakeUp

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
    Each handler runs in a copy of the context (``contextvars``) that `start` was called in.

    The threads are daemons. A worker that nobody stops is stopped when the program ends: that
    waits up to ten seconds for what is running.

    Raises TypeError for a handler that cannot work: it is async, it takes no argument, or is to
    run in a process that could not import it.

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
        controller: LeasePort,
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
        self._policy: Final = Policy(controller, handlers, retry, rng, mp_context, awaits=False)
        self._concurrency: Final = concurrency
        self._renewals: Final = Renewals(controller, self._poke)
        self._renewer: TimerThread | None = None
        self._starting: Final = threading.Lock()  # held while the renewer is started
        self._processes: Processes | None = None
        self._started: Final = Started()
        self._context = contextvars.Context()
        self._threads: list[threading.Thread] = []
        self._waiters: Final[dict[int, Any]] = {}  # of idle threads, by number
        self._stopping = self._ended = False
        self._at_work: Final = set(range(concurrency))  # numbers of threads that have not ended
        self._wake_up: WakeUp | None = None
        self._manual: Final = self._renewals.attach_to(controller.clock)

    def handler(
        self, name: str, *, retry: Retry | None = None, touch: bool = True, process: bool = False
    ) -> Callable[[H], H]:
        """Decorate the handler of a name.

        retry: its own; touch: whether its lease is renewed while it runs. process: run it in
        a process of its own, which is killed when the TTR is over (so its lease is not renewed);
        the handler is then an importable function that takes the Job.

        Raises TypeError for a function that cannot be one.
        """
        if self._threads:
            raise RuntimeError("the worker has been started: its handlers are fixed")
        return self._policy.decorator(name, retry=retry, touch=touch, process=process)

    # ------------------------------------------------------------ beginning and ending

    def start(self) -> None:
        """Start the threads. A worker is started once, and in the process that uses it.

        Raises RuntimeError: it was started already, perhaps before a fork; or a process that was
        spawned imports the main module, which starts a worker.
        """
        check_spawned()
        names = self._policy.names()
        processes = self._policy.processes()
        self._started.begin()
        self._processes = processes
        self._context = contextvars.copy_context()
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(number, names),
                name=f"jobqueue-worker-{number}",
                daemon=True,
            )
            for number in range(self._concurrency)
        ]
        started(self)
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:  # no more threads: those that run are of no use alone
            self._threads = [thread for thread in self._threads if thread.ident is not None]
            self._at_work.intersection_update(range(len(self._threads)))
            self.stop(0)
            raise

    def stop(self, drain: Duration = 30_000) -> bool:
        """Take no more jobs, and wait up to ``drain`` (ms or timedelta) for those that are running.

        Their attempts are told at once (``attempt.cancelled``). What is not finished in time is
        released, so that another worker may have it: a thread cannot be stopped, but what it
        answers then is refused; a process is killed. Returns whether all was finished in time, and
        every answer stored. In a handler it only tells the worker to stop.
        """
        end = time.monotonic() + duration_ms(drain, "drain") / 1000
        if self._started.elsewhere():
            return True  # a fork: nothing of it is here
        self._stop_begin()
        if threading.current_thread() in self._threads:
            return False
        try:
            for thread in self._threads:
                thread.join(max(0.0, end - time.monotonic()))
        except BaseException:  # Ctrl-C: what is still running goes back
            self._stop_end()
            raise
        return self._stop_end()

    def run(self, drain: Duration = 30_000) -> bool:
        """Start, and stop on SIGTERM or SIGINT, as a main program does; a second ends the drain.

        Returns as ``stop`` when all is stopped: also by ``stop``, or when the controller is closed.
        The handlers that the program had for these signals are put back then. Call it from the main
        thread.
        """
        drain_s = duration_ms(drain, "drain") / 1000
        with WakeUp() as wake_up:
            self._wake_up = wake_up
            self.start()
            try:
                self._sleep(wake_up, 1, None)
                self._stop_begin()
                self._sleep(wake_up, 2, time.monotonic() + drain_s)
            except BaseException:
                self._stop_begin()
                self._stop_end()
                raise
            return self._stop_end()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        names = ", ".join(list(self._policy.rules)[:3])
        return f"<Worker of {names}, {len(self._at_work) if self._threads else 0} threads>"

    def _sleep(self, wake_up: WakeUp, signals: int, end: float | None) -> None:
        """Until so many signals or a stop, until all threads have ended, or time is over."""
        while self._at_work and not self._ended and wake_up.signals < signals:
            if not wake_up.wait(end):
                return

    def _stop_begin(self) -> None:
        self._stopping = True
        for waiter in list(self._waiters.values()):
            self._engine.wait_lapse(waiter)
        for attempt in list(self._renewals.running):
            attempt.cancelled = True
        self._renewals.wake_all()

    def _stop_end(self) -> bool:
        """Let go of what is still running; whether nothing was."""
        self._ended = True  # first: what begins from now on gives itself back
        left = list(self._renewals.running)
        for attempt in left:
            self._policy.released(attempt)
            attempt.lose()
        self._renewals.wake_all()
        self._renewals.ended = True
        if self._renewer is not None:
            self._renewer.poke()
            self._renewer.join()
        if self._processes is not None:
            self._processes.close()
        stopped(self)
        self._ring()
        return not left and not self._policy.unanswered

    def _ring(self) -> None:
        if self._wake_up is not None:
            self._wake_up.ring()

    # ------------------------------------------------------------ a thread's work

    def _work(self, number: int, names: str | list[str]) -> None:
        """Serve until the end, whatever is thrown into the thread from outside.

        Some programs throw exceptions into threads, to end what takes too long; one may come when
        its handler has just ended. Two levels, for one that strikes where another is caught.
        """
        ended = False
        while not ended:
            try:
                while not ended:
                    try:
                        self._serve(number, names)
                        self._at_work.discard(number)
                        self._ring()
                        ended = True
                    except BaseException:  # noqa: BLE001, S110 - it was for another
                        pass
            except BaseException:  # noqa: BLE001, S110 - as above
                pass

    def _serve(self, number: int, names: str | list[str]) -> None:
        leased = None
        failures = 0
        while not self._stopping:
            try:
                leased = self._take(number, names)
                if failures:
                    failures = 0
                    self._policy.recovered()
                    self._renewals.wake_all()
                if leased is not None:
                    self._handle(leased)
            except ClosedError:
                break
            except BaseException as error:  # noqa: BLE001 - it may pass; the slot lives on
                failures += 1
                self._policy.trouble(leased, error)
            leased = None  # an idle thread keeps nothing of the last job
            if failures:
                self._pause(failures, lambda: self._stopping)

    def _take(self, number: int, names: str | list[str]) -> Leased | None:
        """The next job; None when there is nothing more to take."""
        leased: Leased | None = self._engine.lease_now(names, MAX_TIMEOUT, True)
        if leased is not None:
            return leased
        waiter = self._engine.lease_begin(names, MAX_TIMEOUT, None, True)
        self._waiters[number] = waiter
        try:
            if self._stopping:
                self._engine.wait_lapse(waiter)
            leased = self._engine.wait_sleep(waiter, names, MAX_TIMEOUT)
        except WaitTimeoutError:
            return None
        finally:
            del self._waiters[number]
        return leased

    def _handle(self, leased: Leased) -> None:
        attempt = self._policy.begin(leased)
        self._renewals.begin(attempt)
        if self._stopping:
            attempt.cancelled = True
        try:
            if self._ended:  # since it was leased
                if not attempt.lost:
                    self._policy.released(attempt)
                    attempt.lose()
                return
            if attempt.rule.process:
                answer = self._handle_in_process(attempt)
            else:
                try:
                    value = self._context.copy().run(attempt.rule.handler, attempt)
                except BaseException as error:  # noqa: BLE001 - whatever it raises is its job's
                    answer = self._policy.failed(attempt, error)
                else:
                    answer = self._policy.succeeded(attempt, value)
            if answer is not None:
                self._insist(attempt, answer)
        finally:
            self._renewals.end(attempt)

    def _handle_in_process(self, attempt: Attempt) -> Answer | None:
        assert self._processes is not None  # noqa: S101 - made at the start, for rules like this
        return self._policy.came_to(attempt, self._processes.call(attempt))

    # ------------------------------------------------------------ trouble with the engine

    def _insist(self, attempt: Attempt, answer: Answer) -> None:
        """Try to store an answer, until it is stored or its lease is over."""
        tries = 0
        again: Answer | None = answer
        while again is not None:
            tries += 1
            self._pause(tries, lambda: self._ended)
            again = self._policy.again(attempt, again)

    def _pause(self, failures: int, ended: Callable[[], bool]) -> None:
        """Wait before the engine is asked again. A clock moved by hand ends it by itself."""
        over = threading.Event()
        pause = self._renewals.pause(failures, over.set)
        try:
            if not ended():
                over.wait(None if self._manual else pause_ns(failures) / 1e9)
        finally:
            self._renewals.pauses.discard(pause)

    def _poke(self) -> None:
        """A lease is to be renewed earlier than was known."""
        if self._manual:  # whoever advances the clock sees to it
            return
        with self._starting:
            if self._renewer is None:
                renewer = TimerThread(self._renewals)
                renewer.start()
                self._renewer = renewer
                if self._renewals.ended:  # the worker was stopped meanwhile, and did not see it
                    renewer.poke()
                return
        self._renewer.poke()
