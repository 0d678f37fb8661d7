"""handle_expire, handle_timeout_attempt: what the timers call instead."""

import sys

import pytest

from jobqueue import ID, Job, State


def test_by_default_the_engine_s_own(engine):
    assert engine.expire_func() == engine.expire
    assert engine.timeout_attempt_func() == engine.timeout_attempt


def test_read_back(engine):
    def hook(id: ID) -> None:
        raise AssertionError(id)

    assert engine.handle_expire(hook) is None
    assert engine.handle_timeout_attempt(hook) is None
    assert engine.expire_func() is hook
    assert engine.timeout_attempt_func() is hook


def test_expire_hook_is_called_with_the_id(engine, harness, clock):
    job = Job("a", ttl=100)
    engine.add(job)
    seen = []
    engine.handle_expire(seen.append)
    clock.advance(99)
    assert seen == []
    clock.advance(1)
    assert seen == [job.id]
    assert type(seen[0]) is ID
    assert harness.record(job) is not None  # nothing else was done
    clock.advance(1000)
    assert seen == [job.id]


def test_timeout_hook_is_called_with_the_id(engine, harness, clock):
    job = Job("a", ttr=100)
    engine.add(job)
    engine.lease("a", 0)
    seen = []
    engine.handle_timeout_attempt(seen.append)
    clock.advance(100)
    assert seen == [job.id]
    assert type(seen[0]) is ID
    assert harness.record(job.id).state == State.LEASED
    assert engine.stats().timed_out == 0


def test_a_proxy_passes_on(engine, harness, clock):
    """As the command log does: note the event, then let the engine act."""
    log = []
    expire, time_out = engine.expire_func(), engine.timeout_attempt_func()

    def on_expire(id: ID) -> None:
        log.append(("expire", id))
        expire(id)

    def on_timeout(id: ID) -> None:
        log.append(("timeout", id))
        time_out(id)

    engine.handle_expire(on_expire)
    engine.handle_timeout_attempt(on_timeout)
    job = Job("a", ttr=100, ttl=250)
    engine.add(job)
    engine.lease("a", 0)
    clock.advance(100)
    assert harness.record(job.id).state == State.PENDING
    engine.lease("a", 0)
    clock.advance(150)
    assert log == [("timeout", job.id), ("timeout", job.id), ("expire", job.id)]
    stats = engine.stats()
    assert (stats.timed_out, stats.evicted_jobs, stats.records) == (2, 1, 0)


def test_calls_by_hand_do_not_go_through_the_hook(engine):
    seen = []
    engine.handle_expire(seen.append)
    engine.handle_timeout_attempt(seen.append)
    job = Job("a")
    engine.add(job)
    engine.lease("a", 0)
    engine.timeout_attempt(job)
    engine.expire(job)
    assert seen == []
    stats = engine.stats()
    assert (stats.timed_out, stats.evicted_jobs) == (1, 1)


def test_the_own_function_can_be_put_back(engine, clock):
    own = engine.expire_func()
    engine.handle_expire(lambda id: None)
    engine.handle_expire(own)
    assert engine.expire_func() == own
    engine.add(Job("a", ttl=100))
    clock.advance(100)
    assert engine.stats().evicted_jobs == 1


def test_a_hook_that_raises(engine, clock, monkeypatch):
    caught = []  # types only: the hook's argument, if kept, makes a cycle that 3.11 cannot collect
    monkeypatch.setattr(sys, "unraisablehook", lambda args: caught.append(args.exc_type))

    def broken(id: ID) -> None:
        raise RuntimeError("hook")

    engine.handle_expire(broken)
    first, second = Job("a", ttl=100), Job("a", ttl=200)
    engine.add(first)
    engine.add(second)
    clock.advance(300)
    assert caught == [RuntimeError, RuntimeError]
    assert engine.jobs("a") == []  # what fell due happened all the same
    assert engine.stats().evicted_jobs == 2


def test_a_lease_whose_hook_raises_is_over(engine, harness, clock, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda args: None)

    def broken(id: ID) -> None:
        raise RuntimeError("hook")

    engine.handle_timeout_attempt(broken)
    engine.add(job := Job("a", ttr=100))
    engine.lease("a", 0)
    clock.advance(100)
    assert harness.record(job.id).state == State.PENDING
    assert engine.stats().timed_out == 1
    assert engine.lease("a", 0) == job


@pytest.mark.parametrize("deed", ["touch", "lease again", "complete", "delete"])
def test_a_hook_that_acts_and_then_raises_has_acted(engine, harness, clock, monkeypatch, deed):
    """The engine does what fell due only if the job still is as it fell due."""
    monkeypatch.setattr(sys, "unraisablehook", lambda args: None)

    def hook(id: ID) -> None:
        match deed:
            case "touch":
                engine.touch(id, 500)
            case "lease again":
                engine.timeout_attempt(id)
                assert engine.lease("a", 0).id == id
            case "complete":
                engine.complete(id, b"done")
            case "delete":
                engine.delete(id)
        raise RuntimeError("afterwards")

    engine.handle_timeout_attempt(hook)
    engine.add(job := Job("a", ttr=100))
    engine.lease("a", 0)
    clock.advance(100)
    record = harness.record(job.id)
    found = None if record is None else (record.state, record.attempts)
    assert (
        found
        == {
            "touch": (State.LEASED, 1),
            "lease again": (State.LEASED, 2),
            "complete": (State.COMPLETED, 1),
            "delete": None,
        }[deed]
    )
    assert engine.stats().timed_out == (deed == "lease again")
    engine.handle_timeout_attempt(None)
    clock.advance(500)
    assert engine.stats().running == 0


def test_a_hook_may_call_back(engine, clock):
    """Hooks run outside the engine's lock: every verb may be called from there."""
    job, other = Job("a", ttl=100), Job("b")

    def replace(id: ID) -> None:
        engine.expire(id)
        engine.add(other)
        assert engine.stats().ready == 1
        assert engine.peek("b") == other

    engine.add(job)
    engine.handle_expire(replace)
    clock.advance(100)
    assert engine.lease("b", 0) == other


@pytest.mark.parametrize("thing", [5, "f", object()])
def test_what_cannot_be_called(engine, harness, thing):
    before = harness.view(engine)
    with pytest.raises(TypeError):
        engine.handle_expire(thing)
    with pytest.raises(TypeError):
        engine.handle_timeout_attempt(thing)
    assert harness.view(engine) == before
    assert engine.expire_func() == engine.expire
