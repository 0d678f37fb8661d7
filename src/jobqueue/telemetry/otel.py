"""Spans of OpenTelemetry, one an attempt: `pip install jobqueue[otel]`, which needs its API only.

A Job has no space for a context, so those of jobs that are not gone stand in a table here, by id;
the event that a job is gone takes it out.
Locking: none; each step is one operation of a dict.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from .._objects.job import ID, Job
from ..observing import GONE, Event, EventKind

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from ..controller import Controller
    from ..interfaces import Duration

__all__ = ["Tracing", "instrument"]

FAILURES: Final = frozenset({EventKind.FAILED, EventKind.TIMED_OUT, EventKind.EXPIRED})
ENDS: Final = frozenset(
    {*FAILURES, EventKind.COMPLETED, EventKind.RELEASED, EventKind.UNDONE, EventKind.DELETED}
)
"""What ends the span of an attempt."""


def instrument(controller: "Controller", tracer: Tracer | None = None) -> "Tracing":
    """Trace the attempts of a controller until the Tracing that is returned is stopped."""
    return Tracing(controller, tracer or trace.get_tracer("jobqueue"))


class Tracing:
    """Spans of attempts, each within the trace of the program that added its job.

    Jobs are added by its own ``add``, which remembers the context; a handler works within
    ``with tracing.attempt(job)``, so that its own spans are children of the attempt's.
    """

    def __init__(self, controller: "Controller", tracer: Tracer) -> None:
        self._controller = controller
        self._tracer = tracer
        self._contexts: dict[ID, Context] = {}
        self._spans: dict[ID, Span] = {}
        self._observation = controller.observe(self._note)

    def add(self, job: Job, wait: "Duration" = 0) -> None:
        """Controller.add, with the present context carried to the worker of the job."""
        self._contexts[job.id] = context.get_current()
        try:
            self._controller.add(job, wait)
        except BaseException:
            if job not in self._controller.registry:
                self._contexts.pop(job.id, None)
            raise

    @contextmanager
    def attempt(self, job: Job) -> Iterator[Span]:
        """Make the span of a job's present attempt the current one."""
        span = self._spans.get(job.id, trace.INVALID_SPAN)
        with trace.use_span(span, record_exception=True, set_status_on_exception=False):
            yield span

    def stop(self) -> None:
        """Trace no more; spans that are under way end now. Stopping twice is fine."""
        self._observation.stop()
        for span in list(self._spans.values()):
            span.end()
        self._spans.clear()
        self._contexts.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _note(self, event: Event) -> None:
        if event.kind == EventKind.LEASED:
            self._begin(event)
        elif event.kind in ENDS and (span := self._spans.pop(event.id, None)) is not None:
            self._end(span, event)
        if event.kind in GONE:
            self._contexts.pop(event.id, None)
        if event.kind == EventKind.DROPPED:
            self._forget()

    def _forget(self) -> None:
        """Events are missing: end the spans, drop the contexts, of jobs that may have ended."""
        registry = self._controller.registry
        for id, span in list(self._spans.items()):
            record = registry.record(id)
            if record is None or not record.running():
                self._spans.pop(id, None)
                span.set_attribute("jobqueue.outcome", "unknown")
                span.end()
        for id in [id for id in self._contexts if id not in registry]:
            self._contexts.pop(id, None)

    def _begin(self, event: Event) -> None:
        self._spans[event.id] = self._tracer.start_span(
            f"{event.name} process",
            context=self._contexts.get(event.id),
            kind=SpanKind.CONSUMER,
            start_time=event.time_ns,
            attributes={
                "messaging.system": "jobqueue",
                "messaging.operation.type": "process",
                "messaging.destination.name": event.name,
                "messaging.message.id": str(event.id),
                "jobqueue.attempt": event.attempt,
            },
        )

    def _end(self, span: Span, event: Event) -> None:
        span.set_attribute("jobqueue.outcome", str(event.kind))
        if event.kind in FAILURES:
            reason = (event.reason or b"").decode(errors="replace")
            span.set_status(Status(StatusCode.ERROR, reason[:200] or str(event.kind)))
        span.end(event.time_ns)
