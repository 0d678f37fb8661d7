"""Prometheus and OpenTelemetry, with their own libraries."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry

from jobqueue import Controller, DuplicateJobError, Job
from jobqueue.telemetry import otel, prometheus
from jobqueue.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def engine(clock):
    with Controller(clock=clock, max_jobs=10) as made:
        yield made


def test_every_figure_of_stats_is_offered(engine) -> None:
    told = {*prometheus.COUNTERS, *prometheus.GAUGES, "ready", "scheduled"}
    assert told == set(engine.stats()._fields)
    assert set(prometheus.QUEUE_GAUGES) == set(engine.queue_stats("a")._fields)


def test_what_is_scraped(engine) -> None:
    registry = CollectorRegistry()
    registry.register(prometheus.Collector(engine, {"service": "shop"}))
    engine.limit("b", max_jobs=5)
    engine.add_many([Job("a"), Job("a"), Job("b")])
    engine.complete(engine.lease("a", 0))
    engine.pause("b")

    def sample(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"jobqueue_{name}", {"service": "shop", **labels})

    assert sample("added_total") == 3
    assert sample("completed_total") == 1
    assert sample("records") == 3
    assert sample("max_jobs") == 10
    assert sample("max_bytes") is None
    assert sample("queue_ready", queue="a") == 1
    assert sample("queue_paused", queue="b") == 1
    assert sample("queue_max_jobs", queue="b") == 5
    assert sample("queue_max_jobs", queue="a") is None
    engine.close()
    assert sample("added_total") is None


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer("tests")
    provider.shutdown()


def test_a_span_for_each_attempt_within_the_trace_of_the_adder(
    engine, clock, tracer, exporter
) -> None:
    with otel.instrument(engine, tracer) as tracing:
        with tracer.start_as_current_span("request") as request:
            tracing.add(job := Job("mail", max_fails=2))
        engine.lease("mail", 0)
        clock.advance(500)
        engine.fail(job, b"no such host")
        engine.lease("mail", 0)
        with tracing.attempt(job), tracer.start_as_current_span("handler"):
            clock.advance(200)
        engine.complete(job)
        assert list(tracing._contexts) == [job.id]
        engine.delete(job)
        assert not tracing._contexts
        assert not tracing._spans
    spans = {(span.name, span.attributes.get("jobqueue.attempt")): span
             for span in exporter.get_finished_spans()}  # fmt: skip
    first, second = spans["mail process", 1], spans["mail process", 2]
    assert first.parent.span_id == second.parent.span_id == request.get_span_context().span_id
    assert (first.status.status_code, first.status.description) == (
        StatusCode.ERROR,
        "no such host",
    )
    assert second.status.status_code == StatusCode.UNSET
    assert first.end_time - first.start_time == 500_000_000
    assert second.end_time - second.start_time == 200_000_000
    assert spans["handler", None].parent.span_id == second.context.span_id
    assert second.attributes["jobqueue.outcome"] == "completed"


def test_other_ends_and_nothing_kept(engine, clock, tracer, exporter) -> None:
    with otel.instrument(engine, tracer) as tracing:
        for end in ("release", "timeout_attempt", "delete", "expire"):
            tracing.add(job := Job("a"))
            engine.lease("a", 0)
            getattr(engine, end)(job)
            if job in engine.registry:
                engine.delete(job)
        assert not tracing._contexts
        tracing.add(job := Job("a"))
        with pytest.raises(DuplicateJobError):
            tracing.add(job)
        assert list(tracing._contexts) == [job.id]
        engine.lease("a", 0)
    outcomes = [span.attributes.get("jobqueue.outcome") for span in exporter.get_finished_spans()]
    assert outcomes == ["released", "timed_out", "deleted", "expired", None]
