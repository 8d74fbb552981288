"""Figures as Prometheus reads them: families of samples, and those of the throughput of endpoints."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.control.throughput import EntityThroughput, Standing
from penstock.domain.last_minute import LATENCIES_MS

CONTENT_TYPE = "text/plain; version=0.0.4"
Row = tuple[Sequence[str], float]
"""A sample: the values of its family's labels, and its own."""
HistogramRow = tuple[Sequence[str], Sequence[int], float]
"""A histogram: the values of its labels, how many are in each part, and the sum."""


def gauges(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    """What goes up and down."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, figure in rows:
        family.add_metric(values, figure)
    return family


def counters(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    """What only rises while the process lives; `_total` is put behind the name."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, figure in rows:
        family.add_metric(values, figure)
    return family


def histograms(
    name: str, text: str, labels: Sequence[str], bounds: Sequence[float], rows: Iterable[HistogramRow]
) -> Metric:
    """How many there are up to each bound."""
    family = HistogramMetricFamily(name, text, labels=labels)
    ends = [*(str(float(bound)) for bound in bounds), "+Inf"]
    for values, counts, total in rows:
        family.add_metric(values, list(zip(ends, accumulate(counts), strict=True)), total)
    return family


class _Fixed(Collector):
    """Families that are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Each of them."""
        yield from self._families


def rendered(families: Iterable[Metric]) -> str:
    """The text."""
    registry = CollectorRegistry()
    registry.register(_Fixed(list(families)))
    return generate_latest(registry).decode()


def throughput_families(standings: Sequence[Standing]) -> Iterator[Metric]:
    """Endpoints' last minute, by the platform's names, and how they stand at the gate."""
    yield from _last_minute(standings)
    labels = ["endpoint_name", "served_entity_name"]
    for name, (text, figure) in _FIGURES.items():
        rows = [
            ((standing.name, one.reading.entity), _figure(one, figure))
            for standing in standings
            for one in standing.entities
        ]
        yield gauges(name, text, labels, rows)


_FIGURES = {
    "provisioned_concurrent_requests_total": ("Provisioned concurrency: four for each chunk.", "concurrency"),
    "penstock_allotment_tokens_per_second": ("What is promised now.", "allotment"),
    "penstock_minimum_tokens_per_second": ("The band's minimum.", "minimum"),
    "penstock_maximum_tokens_per_second": ("The band's maximum.", "maximum"),
    "penstock_demand_tokens_per_second": ("Reference tokens offered, mean of the last 10 s.", "demand"),
    "penstock_attained_tokens_per_second": ("Reference tokens done, mean of the last 10 s.", "attained"),
    "penstock_queue_requests": ("Requests that wait for their turn.", "waiting"),
    "penstock_queue_tokens": ("Reference tokens that wait for their turn.", "backlog"),
    "penstock_in_flight_requests": ("Requests that are with an engine.", "in_flight"),
    "penstock_predicted_wait_seconds": ("How long a request that comes now would wait.", "predicted_wait_s"),
}


def _figure(one: EntityThroughput, figure: str) -> float:
    own = {"concurrency": one.provisioned_concurrency, "demand": one.demand, "attained": one.attained}
    value: float = own[figure] if figure in own else getattr(one.reading, figure)
    return value


_HISTOGRAMS = {
    "request_latency_ms": "duration",
    "model_prediction_latency_ms": "prediction",
    "model_queue_time_ms": "queue",
}


def _last_minute(standings: Sequence[Standing]) -> Iterator[Metric]:
    labels = ["endpoint_name"]
    counts = {
        "request_count_total": "requests",
        "request_4xx_count_total": "client_errors",
        "request_5xx_count_total": "server_errors",
    }
    for name, figure in counts.items():
        rows = [((standing.name,), getattr(standing.ended, figure)) for standing in standings]
        yield gauges(name, "Requests that ended in the last minute.", labels, rows)
    text = "Of the requests that ended in the last minute, in milliseconds."
    for name, figure in _HISTOGRAMS.items():
        found = [(standing.name, getattr(standing.ended, figure)) for standing in standings]
        rows_of = [((endpoint,), one.counts, one.total) for endpoint, one in found]
        yield histograms(name, text, labels, LATENCIES_MS, rows_of)
