"""What the conformance suite asks of an engine: a harness, and what the engine has.

A harness makes engines of one kind on one clock, looks into them, and says in `has` which
capabilities they offer. A test needs what it touches: its engine stands behind a gate, and as
soon as the test calls a verb, gives an option, or adds a job with a field of a capability that is
not in `has`, the suite skips it by the name of that capability.
This module does not need pytest.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias, get_args

from jobqueue import ID, Job, State

from ._manual_clock import ManualClock

__all__ = ["ALL", "CAPABILITIES", "Capability", "Harness", "JobRecord", "LacksError", "Unavailable"]

Capability: TypeAlias = Literal[
    "ids",
    "complete",
    "fail",
    "delete",
    "results",
    "leases",
    "fencing",
    "attempts",
    "budgets",
    "lives",
    "times",
    "time",
    "waits",
    "run",
    "batches",
    "looking",
    "stats",
    "records",
    "pause",
    "dead",
    "cancel",
    "unique",
    "bounds",
    "limits",
    "adders",
    "result_ttl",
    "keep_expired",
    "hooks",
    "events",
    "turns",
    "explain",
    "random",
    "messages",
    "registry",
    "queues",
]
"""The name of something that an engine may offer. Every engine has `add`, `lease` and `close`."""

CAPABILITIES: Final[Mapping[Capability, str]] = {
    "ids": "Of two jobs of one id the second is refused.",
    "complete": "complete ends a job well.",
    "fail": "fail ends a job badly, or puts it back.",
    "delete": "delete ends a job whatever its state.",
    "results": "result gives what a job was answered with, until the job is gone.",
    "leases": "A lease ends at the job's ttr; touch, release, start_attempt, timeout_attempt.",
    "fencing": "complete, fail, touch and release take the number of an attempt.",
    "attempts": "attempt is a lease as a context manager.",
    "budgets": "max_attempts and max_fails bound how often a job is tried.",
    "lives": "A job is gone after its ttl; expire ends it at once.",
    "times": "schedule takes a job for later, release and fail may delay it, `created` counts.",
    "time": "Time is the harness's clock; next_deadline_ns is when the next timer is due.",
    "waits": "lease and result block with a time-out above 0 while other threads call.",
    "run": "run adds a job, waits for its end, and leaves nothing.",
    "batches": "add_many, lease_many, complete_many, delete_many: all or nothing.",
    "looking": "peek, jobs, scheduled_jobs and names look without taking.",
    "stats": "stats counts what happened and what is there.",
    "records": "The harness shows the state, attempts, fails and result of a job.",
    "pause": "pause and resume a queue.",
    "dead": "dead lists the jobs that failed, kick puts one back.",
    "cancel": "cancel ends a job, whatever budgets are left; fail(final=) overrides max_fails.",
    "unique": "No two unprocessed jobs of a name have the same key.",
    "bounds": "max_jobs and max_bytes refuse what is too much, after the wait of add or at once.",
    "limits": "limit bounds one queue, queue_stats shows it.",
    "adders": "add and schedule wait for capacity, up to the time that is given.",
    "result_ttl": "How long a processed job is kept at most.",
    "keep_expired": "How long a job is kept that expired unprocessed.",
    "hooks": "handle_expire and handle_timeout_attempt replace what timers call.",
    "events": "observe delivers an event for every transition.",
    "turns": "The events of what an observer does follow the event that it was called with.",
    "explain": "explain says why a job does not run; history keeps its transitions.",
    "random": "Among several names with work the choice is fair, and repeats with its rng.",
    "messages": "Errors are worded as those of the native engine.",
    "registry": "Records are made, added and deleted by hand.",
    "queues": "Jobs are put into queues and taken out by hand.",
}
"""What each capability means, in one sentence."""

ALL: Final[frozenset[Capability]] = frozenset(get_args(Capability))
"""Every capability."""

_VERBS: Final[Mapping[str, Capability]] = {
    "complete": "complete",
    "fail": "fail",
    "delete": "delete",
    **dict.fromkeys(("touch", "release", "start_attempt", "timeout_attempt"), "leases"),
    **dict.fromkeys(("add_many", "lease_many", "complete_many", "delete_many"), "batches"),
    **dict.fromkeys(("peek", "jobs", "scheduled_jobs", "names"), "looking"),
    **dict.fromkeys(("pause", "resume"), "pause"),
    **dict.fromkeys(("dead", "kick"), "dead"),
    **dict.fromkeys(("limit", "queue_stats"), "limits"),
    **dict.fromkeys(
        (
            *("handle_expire", "expire_func"),
            *("handle_timeout_attempt", "timeout_attempt_func"),
        ),
        "hooks",
    ),
    **dict.fromkeys(("next_deadline_ns", "fire_due"), "time"),
    "cancel": "cancel",
    "result": "results",
    "attempt": "attempts",
    "expire": "lives",
    "schedule": "times",
    "run": "run",
    "stats": "stats",
    "observe": "events",
    "explain": "explain",
    "registry": "registry",
    "queues": "queues",
}
_OPTIONS: Final[Mapping[str, Capability]] = {
    "max_jobs": "bounds",
    "max_bytes": "bounds",
    "result_ttl": "result_ttl",
    "keep_expired": "keep_expired",
    "history": "explain",
    "rng": "random",
    "registry": "registry",
    "queues": "queues",
}
_ARGUMENTS: Final[Mapping[str, Capability]] = {
    "attempt": "fencing",
    "delay": "times",
    "final": "cancel",
    "wait": "bounds",
    "timeout": "waits",
}
_POSITIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "add": ("job", "wait"),
    "schedule": ("job", "wait"),
    "run": ("job", "timeout"),
    "add_many": ("jobs",),
    "lease": ("names", "timeout"),
    "lease_many": ("names", "n", "timeout"),
    "attempt": ("names", "timeout"),
    "result": ("id", "timeout"),
    "complete": ("id", "result"),
    "cancel": ("id", "reason"),
    "fail": ("id", "result"),
    "touch": ("id", "ttr"),
    "release": ("id", "delay"),
}
"""Arguments of the verbs whose calls are looked at."""

_PLAIN: Final = Job("plain")


class LacksError(Exception):
    """A call needs what the engine does not have. Within the suite the test is skipped instead."""


class Unavailable(Exception):  # noqa: N818 - as the suite says it
    """The engine cannot run here, say because its server is not installed. A factory raises it."""


class JobRecord(NamedTuple):
    """What is known of a job at one moment."""

    job: Job
    state: State
    attempts: int
    """Its leases up to now."""
    fails: int
    """Its failures since it was added, or kicked."""
    result: bytes | None
    """What it was answered with, once it is processed."""

    def running(self) -> bool:
        """Whether it is leased."""
        return self.state == State.LEASED

    def processed(self) -> bool:
        """Whether it has ended."""
        return self.state in (State.COMPLETED, State.FAILED)

    def success(self) -> bool:
        """Whether it has ended well."""
        return self.state == State.COMPLETED


class Harness(ABC):
    """Makes engines of one kind for the suite. One test has one harness.

    A harness of your own says what its engine is called and has, and defines `open` and, with the
    capability `records`, `find`.
    """

    name: str = "engine"
    """What the engine is called in the names of the tests."""
    has: frozenset[Capability] = frozenset()
    """What it offers beside `add`, `lease` and `close`."""
    on_lack: Callable[[Capability], object] | None = None
    """Called with what a test needs and the engine lacks; the suite skips the test here."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self._made: list[tuple[Any, Any]] = []  # what tests have, and the engine behind it
        self._jobs: dict[ID, None] = {}  # that a gate has seen go in

    # ------------------------------------------------------------ to define

    @abstractmethod
    def open(self, **options: Any) -> Any:
        """A new engine on `self.clock`, with the options of a Controller."""

    def find(self, engine: Any, id: Any) -> JobRecord | None:
        """What is known of a job by its id, or None: no such job. For those who have `records`."""
        raise self._undefined(engine, id)

    def look(self, engine: Any) -> dict[str, Any]:
        """All that can be seen of an engine, in a form that compares: before and after a call."""
        seen: dict[str, Any] = {}
        if "stats" in self.has:
            seen["stats"] = engine.stats()
        if "looking" in self.has:
            names = engine.names()
            for verb in ("jobs", "scheduled_jobs"):
                listed = getattr(engine, verb)
                seen[verb] = {name: [job.id for job in listed(name)] for name in names}
        if "records" in self.has:
            found = {id: self.find(engine, id) for id in self._jobs}
            seen["records"] = {id: record for id, record in found.items() if record is not None}
        if "time" in self.has:
            seen["next"] = engine.next_deadline_ns()
        return seen

    def new_record(self, job: Job, **fields: Any) -> Any:
        """A record made by hand; for those who have `registry`."""
        raise self._undefined(job, fields)

    def check(self, engine: Any) -> None:  # noqa: B027 - few have a check, so it is not abstract
        """Raise if an invariant of the engine does not hold; at the end of every test."""

    def _undefined(self, *arguments: Any) -> TypeError:
        return TypeError(f"{type(self).__name__} does not define what was asked for {arguments}")

    # ------------------------------------------------------------ for tests

    def make(self, **options: Any) -> Any:
        """A new engine. What it lacks, it lacks aloud."""
        if unknown := frozenset(self.has) - ALL:
            raise ValueError(
                f"no capabilities: {sorted(unknown)}; they are {', '.join(CAPABILITIES)}"
            )
        for option in options.keys() & _OPTIONS.keys():
            self.need(_OPTIONS[option])
        engine = self.open(**options)
        shown = engine if self.has == ALL else _Gate(self, engine)
        self._made.append((shown, engine))
        return shown

    def record(self, id: Any, engine: Any = None) -> JobRecord | None:
        """What is known of a job; of the engine that was made last unless one is given."""
        self.need("records")
        return self.find(self._behind(engine), id)

    def record_by_hand(self, job: Job, **fields: Any) -> Any:
        """A record that no engine has yet."""
        self.need("registry")
        return self.new_record(job, **fields)

    def view(self, engine: Any = None) -> dict[str, Any]:
        """All that can be seen of an engine, to compare: of the last made unless one is given."""
        return self.look(self._behind(engine))

    def in_line(self, job: Job, engine: Any = None) -> bool:
        """Whether a job stands in its queue, ready or scheduled."""
        self.need("looking")
        engine = self._behind(engine)
        return job in engine.jobs(job.name) or job in engine.scheduled_jobs(job.name)

    def need(self, capability: Capability) -> None:
        """Skip the test unless the engine has it."""
        if capability not in self.has:
            if self.on_lack is not None:
                self.on_lack(capability)
            raise LacksError(f"{self.name} lacks {capability}: {CAPABILITIES[capability]}")

    def _behind(self, shown: Any) -> Any:
        return self._made[-1][1] if shown is None else getattr(shown, "_engine", shown)

    def close(self) -> None:
        """End the engines, whatever their checks say; the test is over."""
        made, self._made = self._made, []
        self._jobs.clear()
        with ExitStack() as stack:
            for _, engine in reversed(made):
                stack.callback(engine.close)
                stack.callback(self.check, engine)


class _Gate:
    """An engine, as far as it has what is asked of it."""

    def __init__(self, harness: Harness, engine: Any) -> None:
        self._harness = harness
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        if name in _VERBS:
            self._harness.need(_VERBS[name])
        value = getattr(self._engine, name)
        return partial(self._call, name, value) if name in _POSITIONS else value

    def _call(self, name: str, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        given = dict(zip(_POSITIONS[name], args, strict=False)) | kwargs
        for argument, value in given.items():
            if argument in _ARGUMENTS and (argument != "timeout" or _is_some_time(value)):
                self._harness.need(_ARGUMENTS[argument])
        jobs = given.get("jobs", [given.get("job")])
        jobs = [job for job in jobs if isinstance(job, Job)] if _can_be_read(jobs) else []
        for job in jobs:
            for capability in _needs_of(job):
                self._harness.need(capability)
        answer = verb(*args, **kwargs)
        self._harness._jobs |= dict.fromkeys(job.id for job in jobs)
        return answer

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._engine.__exit__(*error)


def _can_be_read(jobs: Any) -> bool:
    """Whether a batch can be looked at beforehand: an iterator is used up by that."""
    return isinstance(jobs, Collection)


def _is_some_time(value: Any) -> bool:
    try:
        return bool(value)
    except Exception:  # noqa: BLE001 - a hostile value is some
        return True


def _needs_of(job: Job) -> Iterable[Capability]:
    """What an engine must have to take a job as it is meant."""
    if job.unique is not None:
        yield "unique"
    if job.max_attempts or job.max_fails:
        yield "budgets"
    if job.ttr != _PLAIN.ttr:
        yield "leases"
    if job.ttl != _PLAIN.ttl:
        yield "lives"
    if job.replace().created_ns == job.created_ns:  # replace() keeps it only if it was given
        yield "times"
