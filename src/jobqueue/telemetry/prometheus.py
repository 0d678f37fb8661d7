"""A collector of a controller's figures for prometheus-client: `pip install jobqueue[prometheus]`.

Nothing is counted here: each scrape asks stats() and queue_stats(), O(queues).
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as _Collector

if TYPE_CHECKING:
    from ..controller import Controller

__all__ = ["Collector"]

COUNTERS: Final = {
    "added": "Jobs taken by add, schedule and run.",
    "leased": "Attempts begun.",
    "completed": "Jobs that ended COMPLETED.",
    "failed": "Jobs that ended FAILED.",
    "timed_out": "Attempts whose TTR was over.",
    "evicted_jobs": "Jobs whose TTL was over before they were processed.",
    "kicked": "Dead jobs that were put back.",
    "cancelled": "Jobs that were cancelled; they count as failed, too.",
}
GAUGES: Final = {
    "running": "Jobs that are leased.",
    "waiting": "Leasers that are blocked.",
    "blocked": "Adders that wait for room.",
    "records": "Jobs in the registry, processed ones included.",
    "dead": "Jobs that ended FAILED and are still kept.",
    "bytes": "What the records take: payloads, results, and a fixed cost for each.",
    "max_jobs": "The bound on jobs that are not processed.",
    "max_bytes": "The bound on bytes.",
}
QUEUE_GAUGES: Final = {
    "ready": "Jobs that wait to be leased.",
    "scheduled": "Jobs that wait for their time.",
    "paused": "Whether the queue gives no jobs.",
    "jobs": "Jobs of a bounded queue that are not processed.",
    "bytes": "What the records of a bounded queue take.",
    "max_jobs": "The bound of the queue on jobs that are not processed.",
    "max_bytes": "The bound of the queue on bytes.",
}


class Collector(_Collector):
    """Offers a controller's counters and gauges, those of each queue with the label ``queue``.

    controller: whose figures. labels: more labels and their values, the same on every figure, which
    tell several controllers apart.

    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> registry = CollectorRegistry()
    >>> with Controller() as c:
    ...     registry.register(Collector(c))
    ...     c.add(Job("mail"))
    ...     text = generate_latest(registry).decode()
    >>> print(*(line for line in text.splitlines() if line.startswith("jobqueue_queue_r")))
    jobqueue_queue_ready{queue="mail"} 1.0
    """

    def __init__(self, controller: "Controller", labels: Mapping[str, str] | None = None) -> None:
        self._controller = controller
        self._labels = dict(labels or {})

    def collect(self) -> Iterator[Metric]:
        """The figures of now; none once the controller is closed. O(queues)."""
        if self._controller.closed:
            return
        names, values = list(self._labels), list(self._labels.values())
        stats = self._controller.stats()
        for name, text in COUNTERS.items():
            counter = CounterMetricFamily(f"jobqueue_{name}", text, labels=names)
            counter.add_metric(values, getattr(stats, name))
            yield counter
        for name, text in GAUGES.items():
            if (value := getattr(stats, name)) is not None:
                gauge = GaugeMetricFamily(f"jobqueue_{name}", text, labels=names)
                gauge.add_metric(values, value)
                yield gauge
        queues = {name: self._controller.queue_stats(name) for name in self._controller.names()}
        for name, text in QUEUE_GAUGES.items():
            gauge = GaugeMetricFamily(f"jobqueue_queue_{name}", text, labels=[*names, "queue"])
            for queue, figures in queues.items():
                if (value := getattr(figures, name)) is not None:
                    gauge.add_metric([*values, queue], value)
            yield gauge
