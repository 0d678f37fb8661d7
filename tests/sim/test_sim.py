"""The simulator: clean on the engine, and it catches what is planted."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from jobqueue import Controller, Job, NotFoundError, State
from jobqueue._ports import WaitPort
from jobqueue.testing.model import ModelController
from jobqueue.testing.model.parts import Queue, Queues, to_id
from tests.sim.__main__ import attempt, shortened
from tests.sim.verbs import NOT_SIMULATED, VERBS
from tests.sim.world import Divergence, Setting, run

STEPS = 400
EPISODES = 60
"""Within these a planted fault must show: 24 000 steps, of a fixed seed."""


def test_every_verb_is_simulated() -> None:
    """Give a new verb its line in VERBS, tests/sim/verbs.py, or its reason in NOT_SIMULATED."""
    public = {name for name in dir(Controller) if not name.startswith("_")}
    assert public - set(VERBS) - set(NOT_SIMULATED) - set(dir(WaitPort)) == set()


@pytest.mark.parametrize("number", range(8))
def test_engine_and_model_agree(number: int, seed: int) -> None:
    _, _, clean = attempt((seed, number))
    assert clean, f"replay: make sim SEED={seed} EPISODE={number}"


# ---------------------------------------------------------------- planted in the model


class LostRequeue(ModelController):
    """A job whose attempt timed out is PENDING, but stands nowhere."""

    def timeout_attempt(self, id: Any) -> None:
        super().timeout_attempt(id)
        record = self.registry.record(id)
        if record is not None and record.state == State.PENDING:
            self.queues.delete(record.job)


class LateTies(Queue):
    def add(self, job: Job, created_ns: int | None = None) -> bool:
        added = super().add(job, created_ns)
        if added:
            priority, created_ns, id = self.ready[job]
            self.ready[job] = (priority, -created_ns, id)
        return added


class LastInFirstOut(ModelController):
    """Jobs of a priority are leased latest first."""

    def __init__(self, *args: Any, queues: Queues | None = None, **options: Any) -> None:
        queues = Queues()
        queues.queue = lambda name: queues._queues.setdefault(name, LateTies())
        super().__init__(*args, queues=queues, **options)


class OldTimer(ModelController):
    """The timer of an attempt goes on when the job is given back."""

    def release(self, id: Any, delay: Any = 0, *, attempt: int | None = None) -> None:
        timers = dict(self._timers)
        super().release(id, delay, attempt=attempt)
        record = self.registry.record(id)
        if record is not None and (record, "ttr") in timers:
            self._timers[record, "ttr"] = timers[record, "ttr"]


class UncountedEviction(ModelController):
    def expire(self, id: Any) -> None:
        before = self._count["evicted_jobs"]
        super().expire(id)
        self._count["evicted_jobs"] = before


class OutOfTurn(ModelController):
    """The leaser that came last is served first."""

    def _hand_off(self, name: str) -> None:
        self._leasers.reverse()
        super()._hand_off(name)
        self._leasers.reverse()


class OldTTL(ModelController):
    """A kicked job keeps the TTL of its former life."""

    def _arm_ttl(self, record: Any, start_ns: int | None = None) -> None:
        kicked = record.attempts_before > 0 and record.state == State.NEW
        super()._arm_ttl(record, record.job.created_ns if kicked else start_ns)


class SurvivingAttempt(ModelController):
    """A lease goes on though its job was cancelled."""

    def cancel(self, id: Any, reason: Any = b"") -> None:
        record = self.registry.record(to_id(id))
        if record is None or record.state != State.LEASED:
            super().cancel(id, reason)


class FinalFailureForgotten(ModelController):
    """A final failure puts the job back while its budget lasts."""

    def fail(
        self, id: Any, result: Any = b"", *, final: bool | None = None, **options: Any
    ) -> None:
        super().fail(id, result, final=None if final else final, **options)


class TakenKey(ModelController):
    """A key is not free again when its job is completed."""

    def _unprocessed(self) -> list[Job]:
        return [record.job for record in self.registry if record.state != State.FAILED]


class OneFailMore(ModelController):
    """One failure more than max_fails is allowed."""

    def fail(self, id: Any, *args: Any, **options: Any) -> None:
        record = self._known(id)
        if record is None or not record.job.max_fails:
            super().fail(id, *args, **options)
            return
        job, record.job = record.job, record.job.replace(max_fails=record.job.max_fails + 1)
        try:
            super().fail(id, *args, **options)
        finally:
            record.job = job

    def _known(self, id: Any) -> Any:
        try:
            return self.registry.record(id)
        except (TypeError, ValueError):
            return None


class WakefulPause(ModelController):
    """A paused queue gives to those who wait."""

    def _hand_off(self, name: str) -> None:
        paused, self._paused = self._paused, set()
        super()._hand_off(name)
        self._paused = paused


class DeafWallClock(ModelController):
    """A step of the wall clock does not reach scheduled jobs: they are due when they were."""

    def schedule(self, job: Any, wait: Any = 0) -> None:
        super().schedule(job, wait)
        queue = self.queues.queue(job.name)
        if job in queue.due:
            due_ns, *rest = queue.due[job]
            queue.due[job] = (due_ns + 1_000_000, *rest)


class HalfUndone(ModelController):
    """A leaser that gives up does not give back the attempt it was handed."""

    def _undo_lease(self, record: Any, attempt: int) -> None:
        super()._undo_lease(record, attempt)
        if not record.running():
            record.attempts = attempt


class NoReason(ModelController):
    """Observers are not told why a job has failed."""

    def _note(self, record: Any, kind: Any, *args: Any, reason: Any = None, **options: Any) -> None:
        super()._note(record, kind, *args, **options)


class LateNews(ModelController):
    """The hand-off of a job is told before its coming."""

    def _hand_off(self, name: str) -> None:
        before, self._notes = self._notes, []
        super()._hand_off(name)
        self._notes += before


class OldBudget(ModelController):
    """What is left of the budget of a kicked job is counted with its former life."""

    def explain(self, id: Any) -> Any:
        found = super().explain(id)
        left = (found.job.max_attempts or 255) - found.attempt
        return found._replace(attempts_left=max(left, 0))


class FirstTransitions(ModelController):
    """A history keeps the first transitions, not the last."""

    def _note(self, record: Any, *args: Any, **options: Any) -> None:
        before = list(record.history)
        super()._note(record, *args, **options)
        if len(before) == self._history_size:
            record.history = before


class Overtaking(ModelController):
    """An add that does not wait takes the room that others wait for."""

    def _check_capacity(self, *args: Any, **options: Any) -> None:
        waiting, self._adders = self._adders, []
        try:
            super()._check_capacity(*args, **options)
        finally:
            self._adders = waiting


# ---------------------------------------------------------------- planted in the engine


class OldLimit(Controller):
    """A limit that is set anew leaves the one of before."""

    def limit(self, name: str, **bounds: Any) -> None:
        before = self.queue_stats(name)
        if before.max_jobs is not None and None not in bounds.values():
            bounds["max_jobs"] = before.max_jobs
        super().limit(name, **bounds)


class NoFence(Controller):
    """complete takes any answer."""

    def complete(self, id: Any, result: Any = b"", *, attempt: int | None = None) -> None:
        super().complete(id, result)


class TouchTooLong(Controller):
    def touch(self, id: Any, ttr: Any = None, *, attempt: int | None = None) -> None:
        super().touch(id, None, attempt=attempt)


class DeleteOfNothing(Controller):
    def delete(self, id: Any) -> None:
        try:
            super().delete(id)
        except NotFoundError:
            pass


class HalfABatch(Controller):
    """add_many leaves what it added before the error."""

    def add_many(self, jobs: Any) -> None:
        for job in list(jobs):
            self.add(job)


PLANTED: list[Callable[..., Any]] = [
    *(LostRequeue, LastInFirstOut, OldTimer, UncountedEviction, OutOfTurn, OldTTL, TakenKey),
    *(SurvivingAttempt, FinalFailureForgotten),
    *(OneFailMore, WakefulPause, DeafWallClock, HalfUndone),
    *(NoReason, LateNews, OldBudget, FirstTransitions, Overtaking),
    *(OldLimit, NoFence, TouchTooLong, DeleteOfNothing, HalfABatch),
]


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.__name__)
def test_catches(fault: type[Any]) -> None:
    side = "engine" if issubclass(fault, Controller) else "model"
    for number in range(EPISODES):
        rng = Random(f"planted {number}")
        try:
            run(rng, replace(Setting.drawn(rng), **{side: fault}), STEPS)
        except Divergence as error:
            _, steps = shortened(error)
            assert len(steps) <= 12, steps
            return
    pytest.fail("not caught")


def test_a_failure_prints_its_replay() -> None:
    plant = (
        "from tests.sim import __main__ as sim, test_sim, world\n"
        "import dataclasses\n"
        "drawn = world.Setting.drawn\n"
        "world.Setting.drawn = classmethod(lambda cls, rng: dataclasses.replace("
        "drawn(rng), model=test_sim.UncountedEviction))\n"
        "raise SystemExit(sim.simulate(seed=5, ops=20_000, jobs=1))"
    )
    done = subprocess.run(
        [sys.executable, "-c", plant], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr  # False: not clean
    assert "replay: make sim SEED=5 EPISODE=" in done.stdout
    assert "evicted_jobs" in done.stdout
