"""What a handler must be, checked when it is registered: what cannot work is refused with words."""

import functools
import inspect
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ..errors import shown
from ._retry import Retry

__all__ = ["Handler", "Rule", "check_spawned", "is_async", "pickled", "rule_for"]

Handler: TypeAlias = Callable[..., Any]
"""Takes an Attempt and returns the result: bytes, a str or None. For asyncio it may be ``async``.

One that runs in a process takes the Job instead.
"""

TOP_LEVEL: Final = "define it with def at the top level of a module that can be imported"


@dataclass(frozen=True, slots=True)
class Rule:
    """How jobs of one name are handled."""

    handler: Handler
    retry: Retry
    touch: bool
    process: bool
    is_async: bool


def rule_for(
    name: str, handler: Handler, *, retry: Retry, touch: bool, process: bool, forked: bool
) -> Rule:
    """The rule of a name. forked: whether processes are forked, so that they know all functions."""
    what = f"the handler of {name!r}"
    if not callable(handler):
        raise TypeError(f"{what} must be callable, not {shown(handler)}")
    plain = _unwrapped(handler)
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise TypeError(f"{what} must return its result, and this one yields: {shown(handler)}")
    _check_arguments(what, handler, "Job" if process else "Attempt")
    awaited = is_async(handler)
    if process and awaited:
        raise TypeError(f"{what} is async, and a process has no loop: make it a plain function")
    if process and not forked:
        _check_importable(what, plain)
    return Rule(handler, retry, touch and not process, process, awaited)


def is_async(handler: Handler) -> bool:
    """Whether calling it makes a coroutine."""
    plain = _unwrapped(handler)
    return inspect.iscoroutinefunction(plain) or inspect.iscoroutinefunction(
        getattr(plain, "__call__", None)  # noqa: B004 - not whether, but which
    )


def pickled(name: str, handler: Handler) -> bytes:
    """A handler on its way to a process that imports it."""
    try:
        return pickle.dumps(handler, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise TypeError(
            f"the handler of {name!r} cannot be sent to a process: {error}; {TOP_LEVEL}"
        ) from error


def check_spawned() -> None:
    """Refuse to start a worker while a process that was spawned imports the main module."""
    module = sys.modules.get("multiprocessing.process")
    if module is not None and getattr(module.current_process(), "_inheriting", False):
        raise RuntimeError(
            "this process was spawned and is importing the main module again, which starts a"
            ' worker: put what the program does under `if __name__ == "__main__":`'
        )


def _unwrapped(handler: Any) -> Any:
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler


def _check_arguments(what: str, handler: Handler, given: str) -> None:
    try:
        signature = inspect.signature(handler)
    except Exception:  # noqa: BLE001 - some built-in functions have none
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise TypeError(f"{what} is called with one argument, the {given}: {error}") from None


def _check_importable(what: str, handler: Any) -> None:
    name = getattr(handler, "__qualname__", "")
    if "<lambda>" in name or "<locals>" in name:
        raise TypeError(
            f"{what} runs in a process, which imports it by its name, and {name} has none that"
            f" can be imported: {TOP_LEVEL}"
        )
    main = sys.modules.get("__main__")
    if getattr(handler, "__module__", None) == "__main__" and (
        getattr(main, "__spec__", None) is None and getattr(main, "__file__", None) is None
    ):
        raise TypeError(
            f"{what} runs in a process, which imports it, and {name} was defined in a notebook or"
            f" at a prompt: {TOP_LEVEL}"
        )
