"""Bad input of every kind: its own error, and nothing has changed.

The table is made of every verb times every bad value of each of its arguments; around each call the
whole observable state is compared: states, counts and results of all records, the
order of all queues, the names, the stats and the next deadline.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from jobqueue import (
    MAX_NAME,
    MAX_RESULT,
    MAX_TIMEOUT,
    MAX_TTR,
    AlreadyLeasedError,
    AlreadyProcessedError,
    DuplicateJobError,
    DuplicateResultError,
    InvalidIDError,
    InvalidNameError,
    InvalidResultError,
    InvalidTimeError,
    InvalidTimeoutError,
    InvalidTTRError,
    Job,
    JobQueueError,
    LeaseExpiredError,
    NotFoundError,
    ValidationError,
    WaitTimeoutError,
)

MS = timedelta(milliseconds=1)


class Hostile:
    """Fails at whatever it is asked."""

    def _fail(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __index__ = __int__ = __bytes__ = __str__ = __repr__ = __len__ = __iter__ = __eq__ = _fail
    __hash__ = object.__hash__


class IndexOnly:
    """Turns into an int on request; is none."""

    def __index__(self) -> int:
        return 1


# Each kind of argument: (bad value, whether its type is wrong).
ID_RULE = [
    ("", False),
    ("not an id", False),
    (b"", False),
    (b"x" * 15, False),
    (b"x" * 17, False),
    (bytes(16), False),  # version 0
    (b"\xff" * 16, False),
    (str(uuid.UUID(int=0)), False),
    (uuid.uuid1(), False),
    (uuid.uuid3(uuid.NAMESPACE_DNS, "a"), False),
    (uuid.uuid5(uuid.NAMESPACE_DNS, "a"), False),
    (uuid.UUID("00000000-0000-4000-0000-000000000000"), False),  # variant of NCS
    (uuid.UUID("00000000-0000-4000-c000-000000000000"), False),  # variant of Microsoft
    (uuid.uuid4().hex, False),
    (f"{{{uuid.uuid4()}}}", False),
    (f"urn:uuid:{uuid.uuid4()}", False),
    (f" {uuid.uuid4()}", False),
    (f"{uuid.uuid4()}\n", False),
    ("0000000g-0000-4000-8000-000000000000", False),
    ("00000000-0000-4000-8000-00000000000٣", False),  # a digit, not of ASCII
    ("00000000x0000-4000-8000-000000000000", False),
    (None, True),
    (5, True),
    (uuid.uuid4().int, True),
    (1.5, True),
    (True, True),
    (object(), True),
    ([], True),
    (Job, True),
    (Hostile(), True),
]
NAME_RULE = [
    ("", False),
    (" ", False),
    ("a b", False),
    ("a\n", False),
    ("a\0", False),
    ("a/b", False),
    ("é", False),
    ("аbc", False),  # a letter of another alphabet
    ("١", False),
    ("a" * (MAX_NAME + 1), False),
    ("é" * 300, False),
    ("\ud800", False),
    (None, True),
    (5, True),
    (b"a", True),
    (1.5, True),
    (Hostile(), True),
]
RESULT_RULE = [
    (bytes(MAX_RESULT + 1), False),
    (bytearray(MAX_RESULT + 1), False),
    (memoryview(bytes(MAX_RESULT + 2))[::1], False),
    ("text", True),
    ("", True),
    (None, True),
    (5, True),
    ([1, 2], True),
    (1.5, True),
    (True, True),
    (Hostile(), True),
]
TIMEOUT_RULE = [
    (-1, False),
    (MAX_TIMEOUT + 1, False),
    (-(2**63), False),
    (2**63, False),
    (2**64, False),
    (2**100, False),
    (-(2**100), False),
    (timedelta(milliseconds=-1), False),
    (timedelta(microseconds=-1), False),
    (timedelta(days=1, milliseconds=1), False),
    (timedelta.max, False),
    (timedelta.min, False),
    (0.0, True),
    (1.5, True),
    (float("nan"), True),
    (float("inf"), True),
    (True, True),
    (False, True),
    ("1", True),
    (b"1", True),
    (None, True),
    (IndexOnly(), True),
    (Hostile(), True),
]
TTR_RULE = [
    *[pair for pair in TIMEOUT_RULE if pair[0] is not None],
    (0, False),
    (MAX_TTR + 1, False),
    (timedelta(0), False),
    (timedelta(microseconds=999), False),
]
ATTEMPT_RULE = [(value, True) for value in (1.0, "1", True, False, b"1", [], Hostile())]
COUNT_RULE = [(0, False), (-1, False), (-(2**100), False)]
COUNT_TYPES = [(value, True) for value in (1.0, True, "1", None, [], Hostile())]
JOB_RULE = [(value, True) for value in (None, "a", b"a", 5, {}, object(), Job, Hostile())]
# None is a limit, and an attempt, and a ttr to touch with: none of its own.
OFFSET_RULE = [(-1, False), (-(2**100), False), *COUNT_TYPES]
LIMIT_RULE = [pair for pair in OFFSET_RULE if pair[0] is not None]
NAMES_RULE: list[tuple[Any, bool]] = [
    *NAME_RULE,
    ([], False),
    ((), False),
    *[(["ready", name], wrong) for name, wrong in NAME_RULE],
    *[([name, "ready"], wrong) for name, wrong in NAME_RULE],
    ({"ready": 1}.keys, True),
]


@dataclass(frozen=True)
class Case:
    """A call that must fail: the verb, its arguments, its error."""

    name: str
    call: Callable[[Any, "Scene"], Any]
    error: type[Exception]
    wrong_type: bool


@dataclass(frozen=True)
class Scene:
    """What the engine holds around each failing call: a job in each state."""

    new: Job
    leased: Job
    pending: Job
    completed: Job
    failed: Job
    scheduled: Job
    orphan: Job


def rule_cases(
    verb: str,
    argument: str,
    rule: list[tuple[Any, bool]],
    error: type[Exception],
    call: Callable[[Any, Scene, Any], Any],
) -> Iterator[Case]:
    """One case for each bad value of one argument."""
    for index, (value, wrong_type) in enumerate(rule):
        name = f"{verb}({argument}) {index} {type(value).__name__}"
        yield Case(name, lambda e, s, value=value: call(e, s, value), error, wrong_type)


def all_cases() -> Iterator[Case]:
    for verb in (
        *(
            "complete",
            "fail",
            "delete",
            "expire",
            "timeout_attempt",
            "start_attempt",
            "kick",
            "cancel",
        ),
    ):
        yield from rule_cases(
            verb, "id", ID_RULE, InvalidIDError, lambda e, s, v, verb=verb: getattr(e, verb)(v)
        )
    for verb in ("touch", "release"):
        yield from rule_cases(
            verb, "id", ID_RULE, InvalidIDError, lambda e, s, v, verb=verb: getattr(e, verb)(v)
        )
    yield from rule_cases("result", "id", ID_RULE, InvalidIDError, lambda e, s, v: e.result(v, 0))
    yield from rule_cases(
        "delete_many", "ids", ID_RULE, InvalidIDError, lambda e, s, v: e.delete_many([s.new, v])
    )
    yield from rule_cases(
        "complete_many",
        "id",
        ID_RULE,
        InvalidIDError,
        lambda e, s, v: e.complete_many([(s.new, b""), (v, b"")]),
    )
    for verb in ("complete", "fail"):
        yield from rule_cases(
            verb,
            "result",
            RESULT_RULE,
            InvalidResultError,
            lambda e, s, v, verb=verb: getattr(e, verb)(s.leased, v),
        )
    yield from rule_cases(
        "cancel",
        "reason",
        RESULT_RULE,
        InvalidResultError,
        lambda e, s, v: e.cancel(s.leased, v),
    )
    yield from rule_cases(
        "fail",
        "final",
        [(value, True) for value in (0, 1, "yes", b"", [], 1.0)],
        TypeError,
        lambda e, s, v: e.fail(s.leased, b"", final=v),
    )
    yield from rule_cases(
        "complete_many",
        "result",
        RESULT_RULE,
        InvalidResultError,
        lambda e, s, v: e.complete_many([(s.new, b""), (s.leased, v)]),
    )
    for verb in ("complete", "fail", "touch", "release"):
        yield from rule_cases(
            verb,
            "attempt",
            ATTEMPT_RULE,
            TypeError,
            lambda e, s, v, verb=verb: getattr(e, verb)(s.leased, attempt=v),
        )
    yield from rule_cases(
        "touch", "ttr", TTR_RULE, InvalidTTRError, lambda e, s, v: e.touch(s.leased, v)
    )
    yield from rule_cases(
        "release",
        "delay",
        TIMEOUT_RULE,
        InvalidTimeoutError,
        lambda e, s, v: e.release(s.leased, v),
    )
    yield from rule_cases(
        "result", "timeout", TIMEOUT_RULE, InvalidTimeoutError, lambda e, s, v: e.result(s.new, v)
    )
    yield from rule_cases(
        "run", "timeout", TIMEOUT_RULE, InvalidTimeoutError, lambda e, s, v: e.run(Job("ready"), v)
    )
    for verb, arguments in (("lease", ()), ("lease_many", (2,))):
        yield from rule_cases(
            verb,
            "names",
            NAMES_RULE,
            InvalidNameError,
            lambda e, s, v, verb=verb, more=arguments: getattr(e, verb)(v, *more, 0),
        )
        yield from rule_cases(
            verb,
            "timeout",
            TIMEOUT_RULE,
            InvalidTimeoutError,
            lambda e, s, v, verb=verb, more=arguments: getattr(e, verb)("ready", *more, v),
        )
    yield from rule_cases(
        "attempt",
        "names",
        NAMES_RULE,
        InvalidNameError,
        lambda e, s, v: e.attempt(v, 0).__enter__(),
    )
    yield from rule_cases(
        "attempt",
        "timeout",
        TIMEOUT_RULE,
        InvalidTimeoutError,
        lambda e, s, v: e.attempt("ready", v).__enter__(),
    )
    yield from rule_cases(
        "lease_many", "n", COUNT_RULE, ValueError, lambda e, s, v: e.lease_many("ready", v, 0)
    )
    yield from rule_cases(
        "lease_many", "n", COUNT_TYPES, TypeError, lambda e, s, v: e.lease_many("ready", v, 0)
    )
    for verb in ("peek", "jobs", "scheduled_jobs", "dead", "pause", "resume"):
        yield from rule_cases(
            verb,
            "name",
            NAME_RULE,
            InvalidNameError,
            lambda e, s, v, verb=verb: getattr(e, verb)(v),
        )
    for verb in ("jobs", "scheduled_jobs", "dead"):
        for argument, rule in (("offset", OFFSET_RULE), ("limit", LIMIT_RULE)):
            yield from rule_cases(
                verb,
                argument,
                rule,
                (TypeError, ValueError),
                lambda e, s, v, verb=verb, a=argument: getattr(e, verb)("ready", **{a: v}),
            )
    for verb in ("add", "schedule"):
        yield from rule_cases(
            verb, "job", JOB_RULE, TypeError, lambda e, s, v, verb=verb: getattr(e, verb)(v)
        )
    yield from rule_cases("run", "job", JOB_RULE, TypeError, lambda e, s, v: e.run(v, 0))
    yield from rule_cases(
        "add_many", "job", JOB_RULE, TypeError, lambda e, s, v: e.add_many([Job("new"), v])
    )
    yield from state_cases()


def state_cases() -> Iterator[Case]:
    """Arguments that are fine, at the wrong moment."""

    def case(
        name: str, error: type[Exception], call: Callable[[Any, Scene], Any]
    ) -> Iterator[Case]:
        yield Case(name, call, error, wrong_type=False)

    for verb in (
        "complete",
        "fail",
        "touch",
        "release",
        "delete",
        "start_attempt",
        "kick",
        "cancel",
    ):
        yield from case(
            f"{verb} of an unknown id",
            NotFoundError,
            lambda e, s, verb=verb: getattr(e, verb)(Job("x")),
        )
    for verb in ("complete", "fail", "touch", "release"):
        yield from case(
            f"{verb} of an unknown id, fenced",
            NotFoundError,
            lambda e, s, verb=verb: getattr(e, verb)(Job("x"), attempt=1),
        )
        for state in ("new", "pending", "completed", "failed", "scheduled"):
            yield from case(
                f"{verb} of a {state} job, fenced",
                LeaseExpiredError,
                lambda e, s, verb=verb, state=state: getattr(e, verb)(getattr(s, state), attempt=1),
            )
        for number in (0, 2, -1, 256, 2**64):
            yield from case(
                f"{verb} under attempt {number}",
                LeaseExpiredError,
                lambda e, s, verb=verb, n=number: getattr(e, verb)(s.leased, attempt=n),
            )
    for verb in ("complete", "fail"):
        for state in ("completed", "failed"):
            yield from case(
                f"{verb} of a {state} job",
                DuplicateResultError,
                lambda e, s, verb=verb, state=state: getattr(e, verb)(getattr(s, state), b"x"),
            )
    for verb in ("touch", "release"):
        for state in ("new", "pending", "completed", "failed", "scheduled"):
            yield from case(
                f"{verb} of a {state} job",
                LeaseExpiredError,
                lambda e, s, verb=verb, state=state: getattr(e, verb)(getattr(s, state)),
            )
    yield from case("result of an unknown id", NotFoundError, lambda e, s: e.result(Job("x"), 0))
    for state in ("new", "leased", "pending", "scheduled"):
        yield from case(
            f"result of a {state} job",
            WaitTimeoutError,
            lambda e, s, state=state: e.result(getattr(s, state), 0),
        )
    yield from case(
        "start of a leased job", AlreadyLeasedError, lambda e, s: e.start_attempt(s.leased)
    )
    for state in ("completed", "failed"):
        yield from case(
            f"start of a {state} job",
            AlreadyProcessedError,
            lambda e, s, state=state: e.start_attempt(getattr(s, state)),
        )
    for names in ("unknown", "empty", ["unknown", "empty", "also.unknown"]):
        yield from case(
            f"lease of {names}", WaitTimeoutError, lambda e, s, names=names: e.lease(names, 0)
        )
        yield from case(
            f"lease_many of {names}",
            WaitTimeoutError,
            lambda e, s, names=names: e.lease_many(names, 3, 0),
        )
    for state in ("new", "leased", "pending", "completed", "failed", "scheduled"):
        for verb in ("add", "schedule"):
            yield from case(
                f"{verb} of a {state} job's id",
                DuplicateJobError,
                lambda e, s, verb=verb, state=state: getattr(e, verb)(
                    s.scheduled.replace(name="other", id=getattr(s, state).id)
                ),
            )
        yield from case(
            f"run of a {state} job's id",
            DuplicateJobError,
            lambda e, s, state=state: e.run(Job("other", id=getattr(s, state).id), 1000),
        )
        yield from case(
            f"add_many with a {state} job's id",
            DuplicateJobError,
            lambda e, s, state=state: e.add_many(
                [Job("new"), Job("other", id=getattr(s, state).id)]
            ),
        )
    yield from case(
        "schedule without a time", InvalidTimeError, lambda e, s: e.schedule(Job("new"))
    )
    yield from case(
        "schedule of a job that is over",
        InvalidTimeError,
        lambda e, s: e.schedule(Job("new", time=s.scheduled.time - timedelta(days=2), ttl=1000)),
    )
    yield from case(
        "add of a job that is over",
        InvalidTimeError,
        lambda e, s: e.add(Job("new", created=s.scheduled.time - timedelta(days=2), ttl=1000)),
    )
    for what, pairs, error in (
        ("unknown", lambda s: [(s.new, b""), (Job("x"), b"")], NotFoundError),
        ("processed", lambda s: [(s.new, b""), (s.failed, b"")], DuplicateResultError),
        ("twice", lambda s: [(s.new, b""), (s.new, b"")], DuplicateResultError),
    ):
        yield from case(
            f"complete_many: {what}", error, lambda e, s, pairs=pairs: e.complete_many(pairs(s))
        )
    for state in ("new", "pending", "completed", "failed", "scheduled"):
        yield from case(
            f"attempt on a queue without {state} work",
            WaitTimeoutError,
            lambda e, s: e.attempt("empty", 0).__enter__(),
        )


CASES = list(all_cases())


@pytest.fixture
def scene(engine: Any, clock: Any) -> Scene:
    """One job in every state, and a queue that is paused."""
    jobs = {
        state: Job("ready", state.encode(), ttr=50_000, max_attempts=5)
        for state in ("leased", "pending", "completed", "failed")
    }
    new = Job("ready", b"new")
    engine.add_many(jobs.values())
    engine.lease_many("ready", 4, 0)
    engine.timeout_attempt(jobs["pending"])
    engine.complete(jobs["completed"], b"done")
    engine.fail(jobs["failed"], b"broken")
    engine.add(new)
    scheduled = Job("ready", time=clock.now + timedelta(hours=1))
    engine.schedule(scheduled)
    for name in ("paused", "empty"):
        engine.add(Job(name))
    engine.lease("empty", 0)
    engine.pause("paused")
    return Scene(new=new, scheduled=scheduled, orphan=Job("x"), **jobs)


def test_the_table_is_whole() -> None:
    """Every verb that can fail is there, and no case twice."""
    names = [case.name for case in CASES]
    verbs = {name.split("(")[0].split(" ")[0] for name in names}
    assert verbs >= {
        "add", "add_many", "attempt", "cancel", "complete", "complete_many", "dead", "delete",
        "delete_many", "expire", "fail", "jobs", "kick", "lease", "lease_many", "pause", "peek",
        "release", "result", "resume", "run", "schedule", "scheduled_jobs", "start_attempt",
        "timeout_attempt", "touch",
    }  # fmt: skip
    assert len(CASES) > 700


def test_every_bad_call(engine: Any, harness: Any, scene: Scene) -> None:
    """The whole table against one engine: each call fails as it should, and leaves no trace."""
    before = harness.view(engine)
    wrong = []
    for case in CASES:
        try:
            case.call(engine, scene)
        except case.error as error:
            if case.wrong_type and not isinstance(error, TypeError):
                wrong.append(f"{case.name}: {error!r} is no TypeError")
            if isinstance(error, JobQueueError) and not str(error):
                wrong.append(f"{case.name}: {type(error).__name__} says nothing")
            if isinstance(error, ValidationError) and not isinstance(error, ValueError):
                wrong.append(f"{case.name}: {error!r} is no ValueError")
        except pytest.skip.Exception:  # the engine lacks the verb: so much is left out
            continue
        except BaseException as error:  # noqa: BLE001 - all of the table is shown at the end
            wrong.append(f"{case.name}: {type(error).__name__}, not {case.error}")
        else:
            wrong.append(f"{case.name}: no error, not {case.error}")
        after = harness.view(engine)
        if after != before:
            changed = [key for key in after if after[key] != before[key]]
            wrong.append(f"{case.name}: changed {changed}: {[after[key] for key in changed]}")
            before = after
    assert not wrong, f"{len(wrong)} of {len(CASES)}:\n" + "\n".join(wrong)
    # What cannot be seen from outside: the paused queue still gives nothing, and then its job.
    with pytest.raises(WaitTimeoutError):
        engine.lease("paused", 0)
    engine.resume("paused")
    engine.lease("paused", 0)


def test_timers_are_as_they_were(engine: Any, scene: Scene, clock: Any) -> None:
    """After every failing call the TTR of the leased job still ends when it would have."""
    start = clock.now
    for case in CASES:
        with suppress(pytest.skip.Exception), pytest.raises(case.error):
            case.call(engine, scene)
    seen = []
    engine.handle_timeout_attempt(lambda id: seen.append((id, clock.now - start)))
    clock.advance(49_999)
    assert seen == []
    clock.advance(1)
    assert seen == [(scene.leased.id, 50_000 * MS)]
