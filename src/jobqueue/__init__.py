"""An embeddable job queue engine with a native core.

>>> with Controller() as c:
...     c.add(Job("greet", b"world"))
...     with c.attempt("greet", timeout=1000) as attempt:
...         attempt.complete(b"hello " + attempt.job.payload)
...     c.result(attempt.job, timeout=0)
RunResult(success=True, result=b'hello world')
"""

import sys as _sys

from ._structures import system as _system

# Native modules are loaded once a process, whatever sys.modules forgets, and hold the errors and
# the classes of the first import. So a second one finds these, instead of making others.
_sys.modules.update(_system.kept)
globals().update(
    {
        name.partition(".")[2]: module
        for name, module in _system.kept.items()
        if name.count(".") == 1
    }
)

from ._clock import SystemClock
from ._objects.job import ID, Job
from ._objects.queues import Inspector, Iterator, QueueController, WorkQueue
from ._objects.registry import (
    MAX_HARD_ATTEMPTS,
    MAX_RUN_RECORD_ATTEMPTS,
    Registry,
    RunRecord,
    State,
    TimerKind,
)
from ._objects.rules import (
    MAX_ATTEMPTS,
    MAX_FAILS,
    MAX_NAME,
    MAX_PAYLOAD,
    MAX_RESULT,
    MAX_TIMEOUT,
    MAX_TTL,
    MAX_TTR,
    MAX_UNIQUE,
    TIME_FORMAT,
)
from ._objects.timer import Timer, TimerWheel
from ._values import QueueStats, RunResult, Stats
from .controller import Attempt, Controller
from .errors import (
    AlreadyLeasedError,
    AlreadyProcessedError,
    ClosedError,
    DuplicateError,
    DuplicateJobError,
    DuplicateResultError,
    EnqueueError,
    InvalidIDError,
    InvalidMaxAttemptsError,
    InvalidMaxFailsError,
    InvalidNameError,
    InvalidPayloadError,
    InvalidPriorityError,
    InvalidResultError,
    InvalidTimeError,
    InvalidTimeoutError,
    InvalidTTLError,
    InvalidTTRError,
    InvalidUniqueError,
    JobQueueError,
    LeaseExpiredError,
    MaxAttemptsReachedError,
    NotDeadError,
    NotFoundError,
    QueueFullError,
    QueueOutOfSyncError,
    ValidationError,
    WaitTimeoutError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .interfaces import (
        Adder,
        Clock,
        Completer,
        ControllerInterface,
        Deleter,
        Duration,
        Failer,
        IDLike,
        Leaser,
        QueueControllerInterface,
        QueueInterface,
        Runner,
        Scheduler,
    )
    from .validation import (
        validate_add_job,
        validate_id,
        validate_name,
        validate_payload,
        validate_result,
        validate_run_job,
        validate_schedule_job,
        validate_time,
        validate_timeout,
        validate_ttl,
        validate_ttr,
        validate_unique,
    )

__version__ = "0.1.0"
_system.kept.update(
    {name: module for name, module in _sys.modules.items() if name.startswith("jobqueue.")}
)


if not TYPE_CHECKING:  # most of them have no stub: there is nothing for Python in them

    def _seen_by_freezers() -> None:
        """Never called: what native modules alone import, or is loaded late, for freezers to see.

        They read Python. So it is unused (F401), and in a function (PLC0415).
        """
        import uuid  # noqa: F401, PLC0415

        from . import _core, interfaces, validation  # noqa: F401, PLC0415
        from ._engine import (  # noqa: F401, PLC0415
            base,
            batches,
            foreign,
            leasing,
            looking,
            notifier,
            status,
            waiting,
        )
        from ._machine import (  # noqa: F401, PLC0415
            bounds,
            check,
            events,
            key_table,
            life,
            slices,
            state,
            woken,
        )
        from ._objects import green, whole  # noqa: F401, PLC0415
        from ._structures import id_table, skiplist, wheel  # noqa: F401, PLC0415


del TYPE_CHECKING

__all__ = [
    "ID",
    "MAX_ATTEMPTS",
    "MAX_FAILS",
    "MAX_HARD_ATTEMPTS",
    "MAX_NAME",
    "MAX_PAYLOAD",
    "MAX_RESULT",
    "MAX_RUN_RECORD_ATTEMPTS",
    "MAX_TIMEOUT",
    "MAX_TTL",
    "MAX_TTR",
    "MAX_UNIQUE",
    "TIME_FORMAT",
    "Adder",
    "AlreadyLeasedError",
    "AlreadyProcessedError",
    "Attempt",
    "Clock",
    "ClosedError",
    "Completer",
    "Controller",
    "ControllerInterface",
    "Deleter",
    "DuplicateError",
    "DuplicateJobError",
    "DuplicateResultError",
    "Duration",
    "EnqueueError",
    "Failer",
    "IDLike",
    "Inspector",
    "InvalidIDError",
    "InvalidMaxAttemptsError",
    "InvalidMaxFailsError",
    "InvalidNameError",
    "InvalidPayloadError",
    "InvalidPriorityError",
    "InvalidResultError",
    "InvalidTTLError",
    "InvalidTTRError",
    "InvalidTimeError",
    "InvalidTimeoutError",
    "InvalidUniqueError",
    "Iterator",
    "Job",
    "JobQueueError",
    "LeaseExpiredError",
    "Leaser",
    "MaxAttemptsReachedError",
    "NotDeadError",
    "NotFoundError",
    "QueueController",
    "QueueControllerInterface",
    "QueueFullError",
    "QueueInterface",
    "QueueOutOfSyncError",
    "QueueStats",
    "Registry",
    "RunRecord",
    "RunResult",
    "Runner",
    "Scheduler",
    "State",
    "Stats",
    "SystemClock",
    "Timer",
    "TimerKind",
    "TimerWheel",
    "ValidationError",
    "WaitTimeoutError",
    "WorkQueue",
    "__version__",
    "validate_add_job",
    "validate_id",
    "validate_name",
    "validate_payload",
    "validate_result",
    "validate_run_job",
    "validate_schedule_job",
    "validate_time",
    "validate_timeout",
    "validate_ttl",
    "validate_ttr",
    "validate_unique",
]

_LATER = ("interfaces", "validation")
"""Modules whose names no verb needs, and which take long to load: once one is asked for."""


def __getattr__(name: str) -> object:
    from importlib import import_module as _import_module  # noqa: PLC0415 - as late as they

    if name in _LATER:
        return _import_module(f".{name}", __name__)
    if name in __all__:
        for later in _LATER:
            found = vars(_import_module(f".{later}", __name__)).get(name)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
