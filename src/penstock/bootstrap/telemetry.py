"""Wires what the server tells of itself: metrics for Prometheus, and traces and metrics for OpenTelemetry."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version

from penstock.adapters.machine import PsutilMachine
from penstock.control.health import Health
from penstock.control.loop import Loop
from penstock.control.throughput import Throughput
from penstock.domain.errors import PenstockError
from penstock.domain.trace_sampler import Sampler
from penstock.gateway.observer import Observer
from penstock.gateway.serve import Gateway
from penstock.gateway.trace import Tracing
from penstock.settings import Settings
from penstock.web.metrics import ServerMetrics
from penstock.web.scrape import scraped
from penstock.web.server import listen

VERSION = version("penstock")


@dataclass(frozen=True, slots=True)
class Watching:
    """Who hears of requests. `dropped` counts telemetry that could not be sent, None where none is sent."""

    observer: Observer
    dropped: Callable[[], int] | None = None


def make_watching(settings: Settings, instance: str, stack: AsyncExitStack) -> Watching:
    """Raises PenstockError if something is to be sent and its library is missing."""
    given = settings.telemetry
    if not given.traces_url and not given.metrics_url:
        return Watching(Observer())
    try:
        # The library takes a while to load, and is an extra.
        from penstock.adapters.telemetry.otlp import Otlp, Target
    except ImportError as error:
        raise PenstockError(
            "Traces or metrics are to be sent (telemetry.endpoint, or a variable OTEL_*), but the library "
            f"{error.name} is not installed: pip install 'penstock[otel]'."
        ) from error
    headers = given.headers.get_secret_value() if given.headers is not None else ""
    target = Target(given.traces_url, given.metrics_url, headers, given.metrics_period_s)
    otlp = Otlp(target, VERSION, instance)
    stack.push_async_callback(asyncio.to_thread, otlp.close)
    sampler = Sampler(given.sampler, given.sample_ratio)
    tracing = Tracing(random.getrandbits, sampler, given.content) if given.traces_url else None
    return Watching(Observer(otlp, tracing), lambda: otlp.dropped)


async def make_metrics(
    settings: Settings,
    watching: Watching,
    gateway: Gateway,
    *,
    throughput: Throughput,
    health: Health,
    loops: Sequence[Loop],
    stack: AsyncExitStack,
) -> ServerMetrics:
    """The figures of the whole server, and their address without a token, if there is to be one."""
    metrics = ServerMetrics(
        observer=watching.observer,
        table=gateway.table,
        running=gateway.running,
        throughput=throughput,
        health=health,
        journal=gateway.ledger.journal,
        machine=PsutilMachine(),
        version=VERSION,
        loops=loops,
        dropped=watching.dropped,
    )
    address = settings.telemetry.metrics_address
    if address:
        host, _, port = address.rpartition(":")
        try:
            listener = listen(host.strip("[]"), int(port))
        except (OSError, OverflowError) as error:
            raise PenstockError(f"telemetry.metrics_address {address} cannot be listened on: {error}.") from error
        stack.callback(listener.close)
        await stack.enter_async_context(scraped(listener, metrics.text))
    return metrics
