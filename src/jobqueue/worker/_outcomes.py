"""What a handler came to: its result, the reason of its failure, words for the log.

Invariant: nothing that a handler returns or raises, and nothing that a log handler raises, makes
anything here raise; except that `result_bytes` raises for what is no result. What a signal of the
program raises is passed on.
"""

import functools
import json
import logging
import signal
import threading
from collections.abc import Callable
from types import CodeType
from typing import Any, Final, TypeVar

from .._objects.job import Job
from .._objects.registry import report_error

__all__ = ["from_signal", "job_text", "logger", "reason", "result_bytes", "say", "type_name"]

MESSAGE_MAX: Final = 1000  # characters of an exception's text that a reason keeps

logger: Final = logging.getLogger("jobqueue.worker")
logger.addHandler(logging.NullHandler())  # quiet, unless the program wants to hear

T = TypeVar("T")


def result_bytes(value: object) -> bytes:
    """The result that a handler's return value stands for.

    >>> result_bytes(None), result_bytes("text"), result_bytes(b"bytes")
    (b'', b'text', b'bytes')

    Raises TypeError, ValueError (a str with a lone surrogate, a released memoryview), or what the
    value itself raises.
    """
    if type(value) is bytes:
        return value
    if value is None:
        return b""
    if isinstance(value, str):
        return str.encode(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return memoryview(value).tobytes()
    close = getattr(value, "close", None)
    if hasattr(value, "cr_await") and callable(close):
        close()  # a coroutine that nobody awaits warns when it is freed
    raise TypeError(f"a handler returns bytes, a str or None, not {type_name(type(value))}")


def reason(error: BaseException) -> bytes:
    """Why a job failed, as JSON: type, message and where it was raised.

    >>> try:
    ...     int("x")
    ... except ValueError as error:
    ...     sorted(json.loads(reason(error)))
    ['message', 'type', 'where']
    """
    why = {
        "type": _guarded(lambda: type_name(type(error)), "Exception"),
        "message": _guarded(lambda: str.__getitem__(str(error), slice(MESSAGE_MAX)), ""),
        "where": _guarded(lambda: _where(error)[:MESSAGE_MAX], ""),
    }
    return json.dumps(why).encode()


def type_name(kind: type) -> str:
    """The name of a type, with its module unless it is built in.

    >>> type_name(int), type_name(logging.Logger)
    ('int', 'logging.Logger')
    """
    name = type.__dict__["__qualname__"].__get__(kind)[:MESSAGE_MAX]
    module = type.__dict__["__module__"].__get__(kind)
    return name if module == "builtins" else f"{module}.{name}"[-MESSAGE_MAX:]


def job_text(job: Job) -> str:
    """A job for the log: its payload by size only.

    >>> job_text(Job("mail", b"secret", id="7d3b4a8e-5b1f-4c58-9d4e-2a3b4c5d6e7f"))
    'job 7d3b4a8e-5b1f-4c58-9d4e-2a3b4c5d6e7f of mail (6 bytes)'
    """
    return f"job {job.id} of {job.name} ({len(job.payload)} bytes)"


def say(level: int, message: str, *args: object, error: BaseException | None = None) -> None:
    """Log, whatever a filter or a handler of the log raises."""
    if not logger.isEnabledFor(level):
        return
    try:
        logger.log(level, message, *args, exc_info=error)
    except BaseException as raised:
        if from_signal(raised):
            raise
        report_error(raised, logger.log)


def from_signal(error: BaseException) -> bool:
    """Whether a signal's handler raised it: then it is for the program, not for the job.

    Only the main thread runs handlers of signals. One that raises has a frame in the traceback,
    unless it is the default one of SIGINT.
    """
    if isinstance(error, Exception) or threading.current_thread() is not threading.main_thread():
        return False
    codes = set()
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        if handler is signal.default_int_handler and isinstance(error, KeyboardInterrupt):
            return True
        codes.add(_code(handler))
    codes.discard(None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _code(function: Any) -> CodeType | None:
    while isinstance(function, functools.partial):
        function = function.func
    if not hasattr(function, "__code__"):
        function = getattr(function, "__call__", None)  # noqa: B004 - not whether, but which
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _guarded(function: Callable[[], T], otherwise: T) -> T:
    """What it returns; ``otherwise`` if something hostile raises."""
    try:
        return function()
    except BaseException as error:
        if from_signal(error):
            raise
        return otherwise


def _where(error: BaseException) -> str:
    """module.function:line of the innermost frame."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    module = trace.tb_frame.f_globals.get("__name__", "?")
    return f"{module}.{code.co_qualname}:{trace.tb_lineno}"
