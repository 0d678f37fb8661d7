"""What runs in the process of a handler: it serves one job after another until its pipe is closed.

It has a session of its own, so that no signal of the terminal or of the service's process group
reaches it, and so that all that a handler starts can be ended as one group. SIGINT and SIGTERM do
nothing; what a handler starts has them as they were. It ends with its parent, however that ends.
"""

import contextvars
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Mapping
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, Final

from .._objects.job import Job
from .._objects.rules import check_result
from ._outcomes import reason, result_bytes

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from ._handlers import Handler

__all__ = ["BEGUN", "RAISED", "READY", "RETURNED", "serve"]

READY: Final = b"r"
"""It can take a job."""
BEGUN: Final = b"b"
"""It has one, and calls its handler."""
RETURNED: Final = b"+"
"""Before a result."""
RAISED: Final = b"-"
"""Before a reason."""

LOOK_S: Final = 0.1

QUIET: Final = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
]


def serve(pipe: "Connection", handlers: "Mapping[str, Handler | bytes]") -> None:
    """The main function of the process. handlers: by name, pickled if it was spawned."""
    _settle_in(pipe)
    known: dict[str, Any] = {}
    for name in handlers:  # what they import takes time, and none of a job's
        try:
            _handler(name, handlers, known)
        except BaseException:  # noqa: BLE001, S110 - the jobs of this name will tell
            pass
    try:
        pipe.send_bytes(READY)
        while True:
            _serve_one(pipe, pipe.recv_bytes(), handlers, known)
    except (EOFError, OSError):
        return  # the worker is done with it, or gone


def _serve_one(
    pipe: "Connection",
    request: bytes,
    handlers: "Mapping[str, Handler | bytes]",
    known: dict[str, Any],
) -> None:
    pipe.send_bytes(BEGUN)
    try:
        job: Job = pickle.loads(request)  # noqa: S301 - of the parent
        handler = _handler(job.name, handlers, known)
        result = result_bytes(contextvars.copy_context().run(handler, job))
        check_result(result)
        answer = RETURNED + result
    except BaseException as error:  # noqa: BLE001 - it is the job's
        answer = RAISED + reason(error)
    pipe.send_bytes(answer)


def _handler(name: str, handlers: "Mapping[str, Handler | bytes]", known: dict[str, Any]) -> Any:
    handler = known.get(name)
    if handler is None:
        handler = handlers[name]
        if isinstance(handler, bytes):
            handler = pickle.loads(handler)  # noqa: S301 - of the parent
        known[name] = handler
    return handler


def _settle_in(pipe: "Connection") -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - it is what started this one
    if hasattr(os, "setsid"):
        try:
            os.setsid()
        except OSError:
            pass  # it leads a group already
    for number in QUIET:
        # Not SIG_IGN, which what a handler executes would inherit.
        signal.signal(number, _do_nothing)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, QUIET)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _forked(pipe))
    awaited: list[Any] = [parent.sentinel]
    if hasattr(os, "pidfd_open") and parent.pid == os.getppid():
        # A process that was forked from the parent may hold the other end of the sentinel.
        try:
            awaited.append(os.pidfd_open(parent.pid))
        except OSError:
            pass  # an older kernel
    watch = threading.Thread(
        target=_end_with, args=(awaited, parent.pid), name="jobqueue-parent", daemon=True
    )
    watch.start()


def _do_nothing(*_: object) -> None:
    pass


def _end_with(signs: list[Any], parent: int | None) -> None:
    """End, and what was started here, when the parent has ended."""
    try:
        connection.wait(signs)
    except OSError:
        pass
    while os.name != "nt" and os.getppid() == parent:  # a handler has closed the descriptors
        time.sleep(LOOK_S)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


def _forked(pipe: "Connection") -> None:
    """In a process that a handler forked: the pipe is not its, and signals are as they were."""
    pipe.close()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
