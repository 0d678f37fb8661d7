"""The model with one fault each, and a test of the suite that must catch it."""

from typing import Any, ClassVar

from jobqueue import Job, JobQueueError, State
from jobqueue.testing.harness import Harness
from jobqueue.testing.model import ModelController
from tests.conformance.engines import Model


class Fault(ModelController):
    """A model that does one thing wrong."""

    caught_by: ClassVar[str]


class Healthy(ModelController):
    """The control: what fails on the others fails for their fault."""


class LeasesTwice(Fault):
    caught_by = "lease::test_a_job_is_handed_out_once[{}]"

    def lease(self, names: Any, timeout: Any) -> Job:
        job = super().lease(names, timeout)
        self.queues.queue(job.name).add(job, self._created(job))
        self.registry.record(job.id).state = State.PENDING
        return job


class LastInFirstOut(Fault):
    caught_by = "ordering::test_every_order_of_adding[{}]"

    def _created(self, job: Job) -> int:
        return -super()._created(job)


class PrioritiesUpsideDown(Fault):
    caught_by = "ordering::test_priority_then_order_of_adding[{}]"

    def add(self, job: Job, wait: Any = 0) -> None:
        super().add(job, wait)
        ready = self.queues.queue(job.name).ready
        if job in ready:
            priority, *place = ready[job]
            ready[job] = (-priority, *place)


class IgnoresFencing(Fault):
    caught_by = "fencing::test_any_other_number_is_refused[{}-complete-1]"

    def _find_leased(self, id: Any, attempt: int | None) -> Any:
        return super()._find_leased(id, None)


class FencesOnlyTheFuture(Fault):
    """The attempt of a lease that is over passes."""

    caught_by = "fencing::test_a_worker_that_outlived_its_ttr[{}]"

    def _find_leased(self, id: Any, attempt: int | None) -> Any:
        record = self._find(id)
        older = attempt is not None and 0 < attempt < record.attempts
        return super()._find_leased(id, None if older else attempt)


class LeasesForEver(Fault):
    caught_by = "lease::test_ttr_boundary[{}]"

    def _arm(self, owner: Any, kind: str, ms: int) -> None:
        if kind != "ttr":
            super()._arm(owner, kind, ms)


class LeasesAMillisecondTooLong(Fault):
    caught_by = "lease::test_ttr_boundary[{}]"

    def _arm(self, owner: Any, kind: str, ms: int) -> None:
        super()._arm(owner, kind, ms + (kind == "ttr"))


class TouchesForNothing(Fault):
    caught_by = "touch::test_restarts_the_job_s_own_ttr[{}]"

    def touch(self, id: Any, ttr: Any = None, *, attempt: int | None = None) -> None:
        deadlines = dict(self._timers)
        super().touch(id, ttr, attempt=attempt)
        self._timers.update(deadlines)


class LivesForEver(Fault):
    caught_by = "add::test_ttl_boundary[{}-1000]"

    def _arm_ttl(self, record: Any, start_ns: int | None = None) -> None:
        """Nothing expires."""


class HalfABatch(Fault):
    caught_by = "batches::test_add_many_all_or_nothing[{}-known-3]"

    def add_many(self, jobs: Any) -> None:
        for index, job in enumerate(jobs):
            try:
                self.add(job)
            except JobQueueError as error:
                error.index = index
                raise type(error)(f"item {index}: {error}") from None


class ResultsAreReadOnce(Fault):
    caught_by = "result::test_may_be_read_many_times[{}]"

    def result(self, id: Any, timeout: Any) -> Any:
        found = super().result(id, timeout)
        self.delete(id)
        return found


class ReleasesGiveAttemptsBack(Fault):
    caught_by = "release::test_attempts_stay_counted[{}]"

    def release(self, id: Any, delay: Any = 0, *, attempt: int | None = None) -> None:
        super().release(id, delay, attempt=attempt)
        self.registry.record(id).attempts -= 1


class ForgetsWhomItCounted(Fault):
    """A refused add is counted."""

    caught_by = "add::test_duplicate_id[{}]"

    def add(self, job: Any, wait: Any = 0) -> None:
        try:
            super().add(job, wait)
        except JobQueueError:
            self._count["added"] += 1
            raise


FAULTS = Fault.__subclasses__()


class FaultyHarness(Model):
    fault: type[ModelController]

    def open(self, **options: Any) -> ModelController:
        return self.fault(clock=self.clock, **options)


def __getattr__(name: str) -> type[Harness]:
    """A harness for each fault, by the fault's name: what `--engine` asks for."""
    for fault in [Healthy, *FAULTS]:
        if f"{fault.__name__}Harness" == name:
            return type(name, (FaultyHarness,), {"name": fault.__name__, "fault": fault})
    raise AttributeError(name)
