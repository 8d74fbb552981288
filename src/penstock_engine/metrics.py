"""What the engine measures about itself, in Prometheus' format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Sequence as Many

    from penstock_engine.scheduler import Slot

_STEP_SECONDS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096)
_MASK_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._step = Histogram(
            "penstock_engine_step_seconds",
            "Time of the model's computation per step",
            buckets=_STEP_SECONDS,
            registry=self._registry,
        )
        self._batch = Histogram(
            "penstock_engine_step_sequences", "Sequences per step", buckets=_BATCH, registry=self._registry
        )
        self._mask = Histogram(
            "penstock_engine_mask_seconds",
            "Time to find out what may follow a token, for answers that are held to a form",
            buckets=_MASK_SECONDS,
            registry=self._registry,
        )
        self._late = self._counter("late_masks", "Tokens that waited for a mask which was not ready after its step")
        self._computed = self._counter("computed_tokens", "Tokens computed by the model, prompts and answers")
        self._prompt = self._counter("prompt_tokens", "Prompt tokens of ended requests")
        self._cached = self._counter("prefix_cached_tokens", "Prompt tokens taken from the prefix cache")
        self._answer = self._counter("completion_tokens", "Answer tokens of ended requests")
        self._requests = Counter(
            "penstock_engine_requests", "Requests by how they ended", ["outcome"], registry=self._registry
        )

    def watch(self, name: str, about: str, read: Callable[[], float]) -> None:
        """A gauge that is read when metrics are asked for."""
        Gauge(f"penstock_engine_{name}", about, registry=self._registry).set_function(read)

    def stepped(self, slots: Many[Slot], seconds: float) -> None:
        """One step of the decoder is done."""
        self._step.observe(seconds)
        self._batch.observe(len(slots))
        self._computed.inc(sum(slot.new for slot in slots))

    def masked(self, seconds: float) -> None:
        """A mask was computed."""
        self._mask.observe(seconds)

    def mask_late(self) -> None:
        """A mask was not ready when it was needed."""
        self._late.inc()

    def embedded(self, inputs: int, tokens: int, seconds: float) -> None:
        """One batch of the encoder is done."""
        self._step.observe(seconds)
        self._batch.observe(inputs)
        self._computed.inc(tokens)

    def ended(self, outcome: str, prompt: int, cached: int, answer: int) -> None:
        """A request ended: completed, cancelled, failed or rejected."""
        self._requests.labels(outcome).inc()
        self._prompt.inc(prompt)
        self._cached.inc(cached)
        self._answer.inc(answer)

    def text(self) -> bytes:
        """All of it, as `/metrics` answers."""
        return generate_latest(self._registry)

    def _counter(self, name: str, about: str) -> Counter:
        return Counter(f"penstock_engine_{name}", about, registry=self._registry)
