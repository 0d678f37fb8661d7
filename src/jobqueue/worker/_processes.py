"""Handlers in processes: each slot has a process of its own, so that killing one harms no other.

A ProcessPoolExecutor breaks as a whole when one of its processes dies. So a slot is an executor
with a single process: what is killed when its TTR is over takes nobody's job with it.
"""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext
from typing import Any, Final

from .._job import Job
from ._policy import Attempt, Policy, reason, result_bytes

__all__ = ["Processes"]

Outcome = tuple[bool, bytes]
"""Whether the handler returned, and its result or the reason."""


class Slot:
    """One process, started when it is first needed and again after it was killed."""

    def __init__(self, context: BaseContext) -> None:
        self._context: Final = context
        self._executor: ProcessPoolExecutor | None = None
        self._lock: Final = threading.Lock()  # so that a kill strikes the attempt it is meant for
        self._attempt: Attempt | None = None
        self._killed = False

    def begin(self, attempt: Attempt) -> "Future[Outcome]":
        if self._executor is None:
            self._executor = ProcessPoolExecutor(1, mp_context=self._context)
        future = self._executor.submit(_call, attempt.rule.handler, attempt.job)
        with self._lock:
            self._attempt = attempt
        attempt.on_lost = partial(self.kill, attempt)
        if attempt.lost:  # the lease was lost before anybody could be told
            self.kill(attempt)
        return future

    def end(self) -> bool:
        """The attempt is over; whether the process may serve another."""
        with self._lock:
            self._attempt = None
            return not self._killed

    def kill(self, attempt: Attempt) -> None:
        """End the process at once, if it still works on the attempt. Its future is then broken."""
        with self._lock:
            executor = self._executor
            if self._attempt is not attempt or executor is None:
                return
            self._killed = True
            for process in list((executor._processes or {}).values()):
                process.kill()

    def discard(self) -> None:
        executor, self._executor = self._executor, None
        self._killed = False
        if executor is not None:
            executor.shutdown(wait=True)


class Processes:
    """The slots of a worker; a handler has one to itself while it runs."""

    def __init__(self, policy: Policy, context: BaseContext | None) -> None:
        self._policy: Final = policy
        self._context: Final = context or multiprocessing.get_context("spawn")
        self._free: Final[list[Slot]] = []

    def begin(self, attempt: Attempt) -> "tuple[Slot, Future[Outcome]]":
        """Start the handler; its process is killed when the lease is lost."""
        try:
            slot = self._free.pop()
        except IndexError:
            slot = Slot(self._context)
        return slot, slot.begin(attempt)

    def end(self, attempt: Attempt, slot: Slot, future: "Future[Outcome]") -> None:
        """Answer with what came of it; a process that still works is killed."""
        if not future.done():  # whoever waited for it was told to stop
            slot.kill(attempt)
            self._policy.released(attempt)
            slot.end()
            slot.discard()
            return
        error = future.exception()
        if slot.end() and error is None:
            self._free.append(slot)
        else:
            slot.discard()
        if error is not None:
            if not attempt.lost:
                self._policy.failed(attempt, error)
            return
        returned, answer = future.result()
        if returned:
            self._policy.succeeded(attempt, answer)
        else:
            self._policy.failed_because(attempt, answer)

    def close(self) -> None:
        while self._free:
            self._free.pop().discard()


def _call(handler: Callable[[Job], Any], job: Job) -> Outcome:
    """In the process: what the handler came to."""
    try:
        return True, result_bytes(handler(job))
    except Exception as error:  # noqa: BLE001 - it is the job's
        return False, reason(error)
