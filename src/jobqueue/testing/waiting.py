"""Waiting for other threads without sleeping: poll with a deadline, call in the background."""

import threading
import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 20.0
"""How long a test waits for something that must happen before it fails."""


def wait_until(predicate: Callable[[], object], what: str = "the condition") -> None:
    """Return as soon as predicate() is true; fail if it is not in time."""
    pause = threading.Event()
    end = time.monotonic() + PATIENCE_S
    while not predicate():
        assert time.monotonic() < end, f"{what} did not come within {PATIENCE_S} s"
        pause.wait(0.001)


class Call:
    """A call that runs in a thread of its own; `outcome()` is what it returned or raised."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._value: Any = None
        self._error: BaseException | None = None
        self._call = (function, args, kwargs)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        function, args, kwargs = self._call
        try:
            self._value = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - raised when the outcome is asked for
            self._error = error

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def outcome(self) -> Any:
        """Wait for its end; return its value or raise its error."""
        self._thread.join(PATIENCE_S)
        assert self.done, f"{self._call[0]!r} still blocks after {PATIENCE_S} s"
        if self._error is not None:
            raise self._error
        return self._value
