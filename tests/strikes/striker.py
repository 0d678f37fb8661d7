"""Strikes: an exception raised at the k-th bytecode that a call runs, as a signal handler may.

Only the calling thread is struck, and only in frames of the package, or in frames that these
call: the standard library beneath them, but neither the tests' own code nor what does not outlive a
strike itself: imports and logging leave their locks held, asyncio loses a callback for ever.
"""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import jobqueue

PACKAGE = str(Path(jobqueue.__file__).parent)
MODEL = str(Path(jobqueue.__file__).parent / "testing" / "model")
TESTS = str(Path(__file__).parents[1])
ASYNCIO = str(Path(asyncio.__file__).parent)
LOGGING = str(Path(logging.__file__).parent)
TOOL = 3
"""A tool id of sys.monitoring that neither debuggers, profilers nor coverage take."""


class Strike(BaseException):
    """What a handler of a signal raises: no `except Exception` stops it."""


def _of_package(code: CodeType) -> bool:
    return code.co_filename.startswith(PACKAGE)


def _spared(code: CodeType) -> bool:
    """Code that is not struck, nor what it calls."""
    return code.co_filename.startswith((TESTS, MODEL, LOGGING, ASYNCIO, "<frozen importlib"))


def _struck(frame: FrameType | None) -> bool:
    """Whether a frame is of the package, or was called from one that is."""
    while frame is not None and not _spared(frame.f_code):
        if _of_package(frame.f_code):
            return True
        frame = frame.f_back
    return False


class Striker:
    """Counts the bytecodes of one call; at number ``at`` (from 1; 0: never) it raises ``error``."""

    def __init__(self, at: int = 0, error: type[BaseException] = Strike) -> None:
        self.at = at
        self.error = error
        self.count = 0
        self.where = ""
        self._thread = threading.get_ident()

    @property
    def done(self) -> bool:
        """Whether it has struck."""
        return bool(self.where)

    def _step(self, code: CodeType, offset: int) -> None:
        self.count += 1
        if self.count == self.at:
            self.where = f"{Path(code.co_filename).name}:{code.co_qualname}+{offset}"
            raise self.error(f"struck at {self.where}")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count, and strike, while the block runs."""
        if sys.version_info >= (3, 12):
            with self._monitoring():
                yield
        else:
            with self._tracing():
                yield

    @contextmanager
    def _tracing(self) -> Iterator[None]:
        before = sys.gettrace()
        # CPython 3.11 has no reference of its own to a trace function that it is about to call. The
        # collector may run before it does, and code that a collection calls be struck, which drops
        # the function: so it is kept here.
        called = self._called
        sys.settrace(called)
        try:
            yield
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if self.done or event != "call" or not _struck(frame):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._traced

    def _traced(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        if event == "opcode" and not self.done:
            self._step(frame.f_code, frame.f_lasti)
        return self._traced

    @contextmanager
    def _monitoring(self) -> Iterator[None]:
        monitoring: Any = vars(sys)["monitoring"]  # from 3.12 on
        monitoring.use_tool_id(TOOL, "strikes")
        monitoring.register_callback(TOOL, monitoring.events.INSTRUCTION, self._instruction)
        monitoring.set_events(TOOL, monitoring.events.INSTRUCTION)
        try:
            yield
        finally:
            monitoring.set_events(TOOL, 0)
            monitoring.register_callback(TOOL, monitoring.events.INSTRUCTION, None)
            monitoring.free_tool_id(TOOL)

    def _instruction(self, code: CodeType, offset: int) -> Any:
        if self.done or threading.get_ident() != self._thread or _spared(code):
            return None
        if _struck(sys._getframe(1)):
            self._step(code, offset)
        return None


def count(call: Callable[[], object]) -> int:
    """How many bytecodes of the package, and of what it calls, a call runs."""
    striker = Striker()
    with striker.watching():
        call()
    return striker.count


def strike(
    call: Callable[[], object], at: int, error: type[BaseException] = Strike
) -> tuple[str, BaseException | None]:
    """Run a call that is struck: where that was, and what came out of the call."""
    striker = Striker(at, error)
    came: BaseException | None = None
    try:
        with striker.watching():
            call()
    except BaseException as caught:  # noqa: BLE001 - whatever comes out is looked at
        came = caught.with_traceback(None)
        came.__context__ = came.__cause__ = None
    return striker.where, came
