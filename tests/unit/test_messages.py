"""Mistakes that newcomers make, and what they read: what is wrong, and what to do instead."""

import asyncio
import copy
import pickle
import random
import time
import uuid
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobqueue import (
    ID,
    Controller,
    Job,
    JobQueueError,
    QueueController,
    Registry,
    RunRecord,
    WorkQueue,
    aio,
    validate_add_job,
    validate_payload,
    validate_timeout,
)
from jobqueue.testing import ManualClock

UUID1 = uuid.UUID("8a1c3a3e-5f0b-11ef-9d2c-0242ac120002")
HEX = "8a1c3a3e5f0b41efbd2c0242ac120002"


async def nothing() -> None:
    """A coroutine that somebody forgets to await."""


MISTAKES: list[tuple[str, Callable[[Controller, Job], Any], type[Exception], tuple[str, ...]]] = [
    # What waits.
    ("no timeout", lambda c, _: c.lease("a"), TypeError, ("timeout is missing", "MAX_TIMEOUT")),
    ("None for ever", lambda c, _: c.lease("a", None), TypeError, ("waits for ever", "a day")),
    ("None, result", lambda c, j: c.result(j, None), TypeError, ("waits for ever", "a day")),
    ("None, run", lambda c, _: c.run(Job("b"), None), TypeError, ("waits for ever", "a day")),
    ("None, wait", lambda c, _: c.add(Job("b"), wait=None), TypeError, ("waits for ever",)),
    ("seconds", lambda c, _: c.lease("a", 1.5), TypeError, ("1.5 s are 1500 ms",)),
    ("text", lambda c, _: c.lease("a", "30"), TypeError, ("int()",)),
    ("no n", lambda c, _: c.lease_many("a"), TypeError, ("n is missing",)),
    ("no timeout, many", lambda c, _: c.lease_many("a", 1), TypeError, ("timeout is missing",)),
    ("no timeout, run", lambda c, j: c.run(j), TypeError, ("timeout is missing",)),  # type: ignore[call-arg]
    ("no timeout, result", lambda c, j: c.result(j), TypeError, ("timeout is missing",)),  # type: ignore[call-arg]
    ("bytes", lambda c, _: c.lease(b"a", 0), TypeError, (".decode()",)),
    ("a job for its name", lambda c, j: c.lease(j, 0), TypeError, (".name",)),
    ("bytes, peek", lambda c, _: c.peek(b"a"), TypeError, (".decode()",)),
    # Payloads, results, keys.
    ("str", lambda *_: Job("a", "hello"), TypeError, ("'hello'", ".encode()")),
    ("dict", lambda *_: Job("a", {"to": 1}), TypeError, ("json.dumps(…).encode()",)),
    ("None", lambda *_: Job("a", None), TypeError, ("b''",)),
    ("str, complete", lambda c, j: c.complete(j, "done"), TypeError, (".encode()",)),
    ("dict, complete", lambda c, j: c.complete(j, {"a": 1}), TypeError, ("json.dumps",)),
    ("an error, fail", lambda c, j: c.fail(j, OSError("x")), TypeError, ("str(…).encode()",)),
    ("str, unique", lambda *_: Job("a", unique="k"), TypeError, (".encode()",)),
    ("int, unique", lambda *_: Job("a", unique=5), TypeError, ("str(…).encode()",)),
    ("str, validator", lambda *_: validate_payload("x"), TypeError, (".encode()",)),
    # Ids.
    ("key", lambda *_: Job("a", id="order-17"), JobQueueError, ("unique=b'order-17'",)),
    ("UUID 1", lambda *_: Job("a", id=UUID1), JobQueueError, (str(UUID1), "version 4", "ID.new()")),
    ("UUID 1, text", lambda *_: ID(str(UUID1)), JobQueueError, (str(UUID1), "version 4")),
    ("hex", lambda c, _: c.delete(HEX), JobQueueError, (HEX, "str(uuid.UUID(…))")),
    ("attempt", lambda c, _: c.complete(c.attempt("a", 0)), TypeError, (".job",)),
    ("record", lambda c, j: c.complete(c.registry.record(j)), TypeError, (".job",)),
    ("attempt=text", lambda c, j: c.complete(j, attempt="1"), TypeError, ("Attempt.number",)),
    # Jobs.
    ("delay", lambda *_: Job("a", delay=5), TypeError, ("'delay'", "time", "schedule()")),
    ("retries", lambda *_: Job("a", retries=5), TypeError, ("max_fails",)),
    ("typo", lambda *_: Job("a", priorty=5), TypeError, ("'priority'?",)),
    ("other word", lambda *_: Job("a", colour=5), TypeError, ("'colour'", "max_attempts")),
    ("replace", lambda _, j: j.replace(timeout=5), TypeError, ("ttr, in ms",)),
    ("no name", lambda *_: Job(), TypeError, ("'name'", "queue")),  # type: ignore[call-arg]
    ("by position", lambda *_: Job("a", b"", 5), TypeError, ("by keyword", "priority")),  # type: ignore[misc]
    ("ttr in seconds", lambda *_: Job("a", ttr=0.5), TypeError, ("0.5 s are 500 ms",)),
    ("ttr=None", lambda *_: Job("a", ttr=None), TypeError, ("leave it out",)),
    ("priority=None", lambda *_: Job("a", priority=None), TypeError, ("leave it out",)),
    ("naive", lambda *_: Job("a", time=datetime(2026, 1, 1)), JobQueueError, ("now(UTC)",)),
    ("time.time()", lambda *_: Job("a", time=5.0), TypeError, ("fromtimestamp",)),
    ("ISO", lambda *_: Job("a", time="2026-01-01"), TypeError, ("fromisoformat",)),
    ("span", lambda *_: Job("a", time=timedelta(1)), TypeError, ("datetime.now(UTC) + it",)),
    ("a name", lambda c, _: c.add("mail"), TypeError, ("'mail'", "Job(name, payload)")),
    ("a name, run", lambda c, _: c.run("mail", 0), TypeError, ("Job(name, payload)",)),
    ("a name, validator", lambda *_: validate_add_job("x"), TypeError, ("Job(name, payload)",)),
    ("a list", lambda c, j: c.add([j]), TypeError, ("add_many()",)),
    ("a job of many", lambda c, j: c.add_many(j), TypeError, ("iterable of Jobs",)),
    ("text of many", lambda c, _: c.add_many("ab"), TypeError, ("iterable of Jobs",)),
    ("one of many", lambda c, _: c.add_many(["x"]), TypeError, ("item 0", "Job(name, payload)")),
    ("no pairs", lambda c, j: c.complete_many(j), TypeError, ("(id, result) pairs",)),
    (
        "a dict",
        lambda c, j: c.complete_many(dict.fromkeys([j], b"")),
        TypeError,
        ("item 0", "(id, result)"),
    ),
    ("jobs", lambda c, j: c.complete_many([j]), TypeError, ("item 0", "pair (id, result)")),
    ("triple", lambda c, j: c.complete_many([(j, b"", 1)]), ValueError, ("item 0", "pair")),
    ("no ids", lambda c, j: c.delete_many(j), TypeError, ("iterable of ids",)),
    # Controllers and their parts.
    ("path", lambda *_: Controller("some/path"), TypeError, ("cmdlog.DurableController",)),
    ("path, aio", lambda *_: aio.Controller("p"), TypeError, ("cmdlog.DurableController",)),
    ("aio of aio", lambda c, _: aio.Controller(aio.Controller(c)), TypeError, (".controller",)),
    ("time.time", lambda *_: Controller(clock=time.time), TypeError, ("must be a Clock",)),
    ("a class", lambda *_: Controller(clock=ManualClock), TypeError, ("must be a Clock",)),
    ("seed", lambda *_: Controller(rng=5), TypeError, ("random.Random",)),
    ("result_ttl", lambda *_: Controller(result_ttl=60.0), TypeError, ("result_ttl", "60000 ms")),
    ("history", lambda *_: Controller(history=10**9), ValueError, ("0 to 65535",)),
    ("queues", lambda *_: Controller(queues={}), TypeError, ("QueueControllerInterface",)),
    ("a registry of", lambda *_: Registry(5), TypeError, ("0 positional",)),  # type: ignore[call-arg]
    ("a queue of", lambda *_: WorkQueue("a"), TypeError, ("0 positional",)),  # type: ignore[call-arg]
    ("queues of", lambda *_: QueueController("a"), TypeError, ("0 positional",)),  # type: ignore[call-arg]
    ("record of", lambda *_: RunRecord("x"), TypeError, ("Job or None",)),
    ("clock", lambda *_: ManualClock().advance(1.5), TypeError, ("1.5 s are 1500 ms",)),
    ("validate", lambda *_: validate_timeout(None), TypeError, ("waits for ever",)),
    # What is copied.
    ("copy", lambda c, _: copy.copy(c), TypeError, ("one process", "Threads share it")),
    ("deepcopy", lambda c, _: copy.deepcopy(c), TypeError, ("one process",)),
    ("pickle", lambda c, _: pickle.dumps(c), TypeError, ("one process", "jobs can be pickled")),
    ("pickle, aio", lambda c, _: pickle.dumps(aio.Controller(c)), TypeError, ("one process",)),
    ("attempt", lambda c, _: pickle.dumps(c.attempt("a", 0)), TypeError, ("Attempt",)),
]


@pytest.mark.parametrize(
    ("act", "error", "said"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_a_message_says_what_to_do(
    act: Callable[..., Any], error: type[Exception], said: tuple[str, ...]
) -> None:
    with Controller() as c:
        c.add(job := Job("a"))
        with pytest.raises(error) as caught:
            act(c, job)
        assert all(part in str(caught.value) for part in said), str(caught.value)
        assert (c.stats().records, c.stats().ready, c.stats().running) == (1, 1, 0)


def test_what_is_not_awaited_is_said() -> None:
    with Controller() as c, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's own word about it, when it is dropped
        for act in (
            lambda: c.add(nothing()),  # type: ignore[arg-type]
            lambda: c.complete(nothing()),  # type: ignore[arg-type]
            lambda: c.add_many(nothing()),  # type: ignore[arg-type]
            lambda: Job("a", nothing()),  # type: ignore[arg-type]
            lambda: Job(nothing()),  # type: ignore[arg-type]
        ):
            with pytest.raises(TypeError, match="it has not been awaited"):
                act()


def test_async_with_says_where_to_go() -> None:
    async def enter(what: Any) -> None:
        async with what:
            pass

    with Controller() as c:
        for what in (c, c.attempt("a", 0)):
            with pytest.raises(TypeError, match=r"jobqueue\.aio\.Controller"):
                asyncio.run(enter(what))
        assert not c.closed


def test_hints_stand_hostile_values() -> None:
    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise OSError(name)

        def __repr__(self) -> str:
            raise OSError

    with Controller() as c:
        for value in (Hostile(), float("nan"), float("inf"), 1e308, "9" * 5000, "\ud800", object):
            for act in (
                lambda value: c.lease("a", value),
                lambda value: Job("a", value),
                lambda value: Job("a", id=value),
                lambda value: Job("a", time=value),
                lambda value: Job("a", unique=value),
                lambda value: c.lease(value, 0),
                c.add,
                c.complete,
                c.add_many,
                lambda value: c.complete_many([value]),
                lambda value: Job(**{str.__str__(value) if isinstance(value, str) else "x": value}),
            ):
                with pytest.raises((TypeError, ValueError, JobQueueError)):
                    act(value)


def test_a_typo_in_a_name_is_explained() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with Controller(clock=clock, rng=random.Random(1)) as c:
        waiting = c.lease_begin(["mail", "sms"], 1000, lambda _: None)
        c.add(job := Job("mial"))
        found = c.explain(job)
        assert found.waited_for == ("mail", "sms")
        assert "no worker waits for 'mial' while some wait for 'mail', 'sms'" in str(found)
        c.pause("mial")
        assert c.explain(job).waited_for == ()
        c.resume("mial")
        c.wait_abandon(waiting)
        assert c.explain(job).waited_for == ()
        assert "no worker" not in str(c.explain(job))
