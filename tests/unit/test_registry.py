"""Registry: all records by id."""

import gc
import random
import uuid
from typing import Any

import pytest

from jobqueue import ID, InvalidIDError, Job, Registry, RunRecord, State


def test_empty() -> None:
    registry = Registry()
    assert len(registry) == 0
    assert list(registry) == []
    assert registry.record(ID.new()) is None
    assert registry.delete(ID.new()) is False
    assert ID.new() not in registry
    registry._check()


def test_add_and_find() -> None:
    registry = Registry()
    job = Job("a")
    record = RunRecord(job)
    assert registry.add(record) is True
    assert len(registry) == 1
    for form in (job, job.id, str(job.id), bytes(job.id), job.id.uuid, str(job.id).upper()):
        assert registry.record(form) is record
        assert form in registry
    assert list(registry) == [record]
    registry._check()


def test_add_twice() -> None:
    registry = Registry()
    job = Job("a")
    record = RunRecord(job)
    registry.add(record)
    assert registry.add(record) is False
    assert registry.add(RunRecord(job)) is False
    assert registry.add(RunRecord(Job("b", id=job.id))) is False
    assert registry.record(job) is record
    assert len(registry) == 1


def test_add_without_a_job() -> None:
    registry = Registry()
    assert registry.add(RunRecord()) is False
    assert len(registry) == 0


@pytest.mark.parametrize("thing", [None, "a", 5, Job("a"), object()])
def test_add_anything_else(thing: Any) -> None:
    with pytest.raises(TypeError):
        Registry().add(thing)


def test_delete() -> None:
    registry = Registry()
    jobs = [Job("a") for _ in range(6)]
    for job in jobs:
        registry.add(RunRecord(job))
    forms = [jobs[0], jobs[1].id, str(jobs[2].id), bytes(jobs[3].id), jobs[4].id.uuid]
    for form in forms:
        assert registry.delete(form) is True
        assert registry.delete(form) is False
    assert [record.job for record in registry] == jobs[5:]
    registry._check()


def test_a_deleted_record_may_come_back() -> None:
    registry = Registry()
    record = RunRecord(Job("a"), attempts=3)
    registry.add(record)
    registry.delete(record.job)
    assert registry.add(record)
    assert registry.record(record.job) is record


@pytest.mark.parametrize("bad", ["", "x", b"", bytes(16), uuid.uuid1(), None, 5, 1.5, [], True])
def test_bad_ids(bad: Any) -> None:
    registry = Registry()
    registry.add(RunRecord(Job("a")))
    for call in (registry.record, registry.delete):
        with pytest.raises(InvalidIDError):
            call(bad)
    assert bad not in registry
    assert len(registry) == 1


def test_iteration_sees_what_was_there_when_it_began() -> None:
    registry = Registry()
    jobs = [Job("a") for _ in range(100)]
    for job in jobs:
        registry.add(RunRecord(job))
    seen = []
    for record in registry:
        seen.append(record.job)
        registry.delete(record.job)
        registry.add(RunRecord(Job("b")))
    assert set(seen) == set(jobs)
    assert len(seen) == len(jobs) == len(registry)
    registry._check()


def test_records_keep_their_identity_and_life() -> None:
    registry = Registry()
    job = Job("a")
    registry.add(RunRecord(job, attempts=7, state=State.PENDING, fails=2))
    gc.collect()
    record = registry.record(job)
    assert (record.attempts, record.state, record.fails) == (7, State.PENDING, 2)
    assert registry.record(job) is record


def test_grows_and_shrinks_like_a_dict(rng: random.Random) -> None:
    registry = Registry()
    plain: dict[ID, RunRecord] = {}
    jobs = [Job("a") for _ in range(300)]
    for step in range(6000):
        job = rng.choice(jobs[: 1 + step // 20])
        if rng.random() < (0.6 if step % 2000 < 1000 else 0.3):
            record = RunRecord(job)
            assert registry.add(record) is (job.id not in plain)
            plain.setdefault(job.id, record)
        else:
            assert registry.delete(job) is (plain.pop(job.id, None) is not None)
        assert len(registry) == len(plain)
        if step % 50 == 0:
            registry._check()
            assert {record.job.id: record for record in registry} == plain
    for job in jobs:
        assert registry.record(job) is plain.get(job.id)


def test_ids_that_collide_in_their_low_bits() -> None:
    """Ids chosen by somebody else: the table must stay right, whatever they look like."""
    registry = Registry()
    jobs = []
    for number in range(2000):
        data = bytearray(number.to_bytes(16, "big"))
        data[6], data[8] = 0x40, 0x80
        jobs.append(Job("a", id=bytes(data)))
    jobs = list(dict.fromkeys(jobs))
    for job in jobs:
        assert registry.add(RunRecord(job))
    registry._check()
    for job in jobs[::2]:
        assert registry.delete(job)
    registry._check()
    assert {record.job for record in registry} == set(jobs[1::2])


def test_repr() -> None:
    registry = Registry()
    registry.add(RunRecord(Job("a")))
    assert "1" in repr(registry)


def test_in_two_registries() -> None:
    """A record has one home: a second registry refuses it rather than share its timers."""
    record = RunRecord(Job("a"))
    first, second = Registry(), Registry()
    assert first.add(record)
    assert second.add(record) is False
    assert len(second) == 0
    first._check()
    second._check()
