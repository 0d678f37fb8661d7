"""Handlers in processes: one process serves one job at a time, so that killing it harms no other.

The parent's side; the process's is in _child. A call blocks its thread: a slot's, or one that a
loop keeps for such calls.

Invariant: nobody waits for the end of a pipe, which what a handler started may hold open: a process
is known to be dead by its process descriptor, or because it was killed here.
Invariant: a process that dies while it is idle, or before it has begun a job, costs no job
anything.
Locking: `Running.lock`, so that a kill strikes the attempt that it is meant for.
"""

import atexit
import json
import multiprocessing
import multiprocessing.util  # its exit function must come before ours, so that ours runs first
import os
import pickle
import signal
import threading
import time
import weakref
from collections.abc import Mapping
from multiprocessing import connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, Final, NamedTuple

from ._attempt import Attempt
from ._child import BEGUN, QUIET, READY, RETURNED, serve
from ._handlers import Handler, pickled

__all__ = ["Outcome", "Processes"]

TRIES: Final = 3
"""Processes that are started for one job before it is given back."""
REAPING_S: Final = 0.2
"""How long a thread may take from reaping a process to telling its exit code."""
PATIENCE_S: Final = 2.0
"""How long a process that is no longer needed may take to end by itself."""

CRASHES: Final = {
    getattr(signal, name)
    for name in ("SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP")
    if hasattr(signal, name)
}
"""Signals by which a process ends because of its handler; the others come from outside."""

_starting = threading.Lock()
_living: "Final[weakref.WeakSet[Child]]" = weakref.WeakSet()


class Outcome(NamedTuple):
    """What a handler came to in a process; neither a result nor a reason: it was killed."""

    returned: bytes | None = None
    reason: bytes | None = None
    told: str = "failed"


class NotBegunError(Exception):
    """The process ended before it could take a job."""


class Child:
    """A process that serves jobs."""

    def __init__(self, context: BaseContext, handlers: Mapping[str, Handler | bytes]) -> None:
        self._owner: Final = os.getpid()
        self.pipe, far = context.Pipe()
        self._woken, self._wake = context.Pipe(duplex=False)
        self._death = -1
        self.used = False
        self._process: Final[BaseProcess] = context.Process(  # type: ignore[attr-defined]
            target=serve, args=(far, handlers), name="jobqueue-handler"
        )
        try:
            self._start(context.get_start_method())
        except BaseException:
            for end in (self.pipe, self._woken, self._wake):
                end.close()
            raise
        finally:
            far.close()
        _living.add(self)
        pid = self._process.pid
        if hasattr(os, "pidfd_open") and pid is not None:
            try:
                self._death = os.pidfd_open(pid)
            except OSError:
                pass  # an older kernel, or it is dead: the sentinel tells

    def _start(self, method: str | None) -> None:
        """Start it with the signals of the terminal blocked, until it has made its own of them."""
        blocking = hasattr(signal, "pthread_sigmask")
        with _starting:
            if blocking and method != "fork":
                from multiprocessing import resource_tracker

                resource_tracker.ensure_running()  # it would unblock them
            before = signal.pthread_sigmask(signal.SIG_BLOCK, QUIET) if blocking else set()
            try:
                self._process.start()
            finally:
                if blocking:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def alive(self) -> bool:
        """Whether it lives. The program may reap its children itself: an exit code is not all."""
        return self._process.exitcode is None and not connection.wait([self._death_sign()], 0)

    def receive(self) -> bytes | None:
        """The next message; None if it is dead or was killed."""
        while True:
            ready = connection.wait([self.pipe, self._death_sign(), self._woken])
            if self.pipe not in ready:
                return None
            try:
                return self.pipe.recv_bytes()
            except (EOFError, OSError):
                return None

    def _death_sign(self) -> int:
        return self._process.sentinel if self._death < 0 else self._death

    def kill(self) -> None:
        """End it at once, and what its handlers started; wake who waits for it."""
        if self._owner != os.getpid():
            return  # a fork has only a copy
        pid = self._process.pid
        if pid is not None and hasattr(os, "killpg"):
            try:
                os.killpg(pid, signal.SIGKILL)
            except OSError:
                pass  # it has no group yet, or none is left
        try:
            self._process.kill()
        except (OSError, ValueError):
            pass  # it has been seen to its end
        self.wake()

    def wake(self) -> None:
        """Let who waits for it go."""
        try:
            self._wake.send_bytes(b"")
        except OSError:
            pass  # it has been seen to its end

    def calm(self) -> None:
        """Undo wake."""
        while self._woken.poll():
            self._woken.recv_bytes()

    def end(self, patience_s: float = 0.0) -> int | None:
        """See it to its end; how it ended: an exit code, or a signal as a negative number."""
        self.pipe.close()
        if patience_s > 0:
            connection.wait([self._death_sign()], patience_s)
        self.kill()
        connection.wait([self._death_sign()], PATIENCE_S)
        code = self._process.exitcode
        until = time.monotonic() + REAPING_S
        while code is None and time.monotonic() < until:  # another thread is about to reap it
            time.sleep(0.001)
            code = self._process.exitcode
        _living.discard(self)
        self._woken.close()
        self._wake.close()
        if self._death >= 0:
            os.close(self._death)
            self._death = -1
        if code is not None:
            self._process.close()
        return code


class Running:
    """One call of a handler in a process."""

    def __init__(self, attempt: Attempt) -> None:
        self.lock: Final = threading.Lock()
        self.attempt: Final = attempt
        self.child: Child | None = None
        self.has_job = False
        self.killed = False
        attempt.on_lost = self.kill
        if attempt.lost:  # the lease was lost before anybody could be told
            self.kill()

    def kill(self, _: object = None) -> None:
        """End the process at once, if it still works on this attempt."""
        with self.lock:
            self.killed = True
            if self.child is not None and self.has_job:
                self.child.kill()
            elif self.child is not None:  # it is still starting, and of use for the next job
                self.child.wake()

    def work_on(self, child: Child | None, *, has_job: bool) -> bool:
        """A process is to have the job, has it, or has it no more; false if it may not."""
        with self.lock:
            self.child, self.has_job = child, has_job
            return not self.killed


class Processes:
    """The processes of a worker; a handler has one to itself while it runs."""

    def __init__(self, handlers: Mapping[str, Handler], context: BaseContext | None) -> None:
        self._context: Final = context or multiprocessing.get_context("spawn")
        if self._context.get_start_method() == "fork":
            self._handlers: dict[str, Any] = dict(handlers)
        else:
            self._handlers = {name: pickled(name, handler) for name, handler in handlers.items()}
        self._free: Final[list[Child]] = []
        self._closed = False

    def call(self, attempt: Attempt) -> Outcome:
        """Call the handler of a job in a process, and wait; it is killed when its lease is lost.

        Raises OSError if a process cannot be started.
        """
        running = Running(attempt)
        try:
            for _ in range(TRIES):
                if running.killed:
                    break
                outcome = self._try(running, attempt)
                if outcome is not None:
                    return outcome
        finally:
            attempt.on_lost = None
        return Outcome(told="its process was killed before it could begin")

    def _try(self, running: Running, attempt: Attempt) -> Outcome | None:
        """None if the process was gone before it had begun: another may have the job."""
        child = self._idle() or Child(self._context, self._handlers)
        begun, answer = False, None
        try:
            if not self._ready(child, running):
                child.calm()
                self._give_back(child)
                return Outcome(told="its lease ended before a process was ready")
            if running.work_on(child, has_job=True):
                begun, answer = self._ask(child, attempt)
        except NotBegunError:
            code = child.end(PATIENCE_S)
            return None if code is None or code < 0 else _not_begun(code)
        except BaseException:
            child.kill()
            child.end()
            raise
        if not running.work_on(None, has_job=False) or answer is None:
            # The end of its pipe may come a moment before its own, which tells how it ended.
            code = child.end(0.0 if running.killed else PATIENCE_S)
            if running.killed:
                return Outcome(told="its process was killed")
            return _died(code) if begun else None
        self._give_back(child)
        if answer[:1] == RETURNED:
            return Outcome(returned=answer[1:])
        return Outcome(reason=answer[1:], told=f"failed: {answer[1:].decode()}")

    def _ready(self, child: Child, running: Running) -> bool:
        """Wait until a process can take a job; false if the lease is lost before."""
        if running.work_on(child, has_job=False) and not child.used:
            child.used = child.receive() == READY
            if not child.used and not running.killed:
                raise NotBegunError
        return running.work_on(None, has_job=False)

    def _ask(self, child: Child, attempt: Attempt) -> tuple[bool, bytes | None]:
        """Whether the process has begun the job, and its answer."""
        try:
            child.pipe.send_bytes(pickle.dumps(attempt.job, pickle.HIGHEST_PROTOCOL))
        except OSError:
            return False, None
        if child.receive() != BEGUN:
            return False, None
        return True, child.receive()

    def _idle(self) -> Child | None:
        """A process that waits for a job, and lives."""
        while True:
            try:
                child = self._free.pop()
            except IndexError:
                return None
            if child.alive():
                return child
            child.end()

    def _give_back(self, child: Child) -> None:
        self._free.append(child)
        if self._closed:
            self.close()

    def close(self) -> None:
        """End the processes that wait."""
        self._closed = True
        ending = []
        while self._free:
            ending.append(self._free.pop())
            ending[-1].pipe.close()  # they end side by side
        until = time.monotonic() + PATIENCE_S
        for child in ending:
            child.end(max(until - time.monotonic(), 0.001))


def _not_begun(code: int) -> Outcome:
    message = (
        f"the process ended with exit code {code} before it could take the job; what it wrote"
        ' tells why. Is what the program does under `if __name__ == "__main__":`?'
    )
    return _broken(message)


def _died(code: int | None) -> Outcome:
    """How a handler's job ends whose process has died of itself, or was killed."""
    if code is None:
        return Outcome(told="its process is gone")
    if code >= 0:
        how = f"ended with exit code {code}"
    elif -code in CRASHES:
        how = f"ended by {signal.Signals(-code).name}"
    else:
        return Outcome(told=f"its process was killed by signal {-code}")
    return _broken(f"the process of the handler {how}")


def _broken(message: str) -> Outcome:
    """The name of the error is the one that programs know from concurrent.futures."""
    why = {"type": "concurrent.futures.process.BrokenProcessPool", "message": message, "where": ""}
    return Outcome(reason=json.dumps(why).encode(), told=message)


def _kill_all() -> None:
    """The program ends: its processes, which would be waited for, end before it."""
    for child in list(_living):
        child.kill()


atexit.register(_kill_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_living.clear)
