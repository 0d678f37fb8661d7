"""An embeddable job queue engine with a native core.

>>> with Controller() as c:
...     c.add(Job("greet", b"world"))
...     with c.attempt("greet", timeout=1000) as attempt:
...         attempt.complete(b"hello " + attempt.job.payload)
...     c.result(attempt.job, timeout=0)
RunResult(success=True, result=b'hello world')
"""


from ._clock import Clock, SystemClock
from ._job import (
    ID,
    MAX_ATTEMPTS,
    MAX_FAILS,
    MAX_NAME,
    MAX_PAYLOAD,
    MAX_RESULT,
    MAX_TIMEOUT,
    MAX_TTL,
    MAX_TTR,
    TIME_FORMAT,
    Job,
)
from ._queues import Inspector, Iterator, QueueController, WorkQueue
from ._records import (
    MAX_HARD_ATTEMPTS,
    MAX_RUN_RECORD_ATTEMPTS,
    Registry,
    RunRecord,
    State,
    TimerKind,
)
from ._wheel import Timer, TimerWheel
from .controller import Attempt, Controller
from .errors import *
from .errors import __all__ as _errors_all
from .interfaces import (
    Adder,
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
    RunResult,
    Scheduler,
    Stats,
)
from .validation import *
from .validation import __all__ as _validation_all

__version__ = "0.1.0"
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
    "TIME_FORMAT",
    "Adder",
    "Attempt",
    "Clock",
    "Completer",
    "Controller",
    "ControllerInterface",
    "Deleter",
    "Duration",
    "Failer",
    "IDLike",
    "Inspector",
    "Iterator",
    "Job",
    "Leaser",
    "QueueController",
    "QueueControllerInterface",
    "QueueInterface",
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
    "WorkQueue",
    *_errors_all,
    *_validation_all,
    "__version__",
]
