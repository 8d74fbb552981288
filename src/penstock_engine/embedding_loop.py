"""The embedding thread: puts waiting inputs of similar length into batches and runs them."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from penstock_engine.answers import EmbeddingUsage
from penstock_engine.refusal import Cancelled, QueueFull, StepFailed

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    import numpy as np
    from numpy.typing import NDArray

    from penstock_engine.metrics import Metrics
    from penstock_engine.work import Encoder

_log = logging.getLogger(__name__)
_MIN_SHARE = 0.5
"""At least so much of a batch is text, the rest padding; inputs are sorted by length, so that it is rarely close."""


class Group:
    """The inputs of one request. Belongs to the event loop; the thread only reads `wanted`."""

    def __init__(self, inputs: list[NDArray[np.int64]]) -> None:
        self.inputs = inputs
        self.wanted = True
        self.processed = 0
        """Tokens of the inputs embedded so far."""
        self.seconds = 0.0
        """Of the batches so far, this request's part."""
        self.outcome = "cancelled"
        self.over = asyncio.Event()
        """Set when all is embedded or nothing more will be."""
        self._rows: list[list[float]] = [[] for _ in inputs]
        self._left = len(inputs)

    async def rows(self) -> list[list[float]]:
        """Wait for the embeddings, in the order of the inputs. Raises Cancelled or StepFailed."""
        await self.over.wait()
        if self.outcome == "failed":
            raise StepFailed("the model's computation failed; the engine's log has the reason")
        if self.outcome == "cancelled":
            raise Cancelled("the request was cancelled")
        return self._rows

    def usage(self) -> EmbeddingUsage:
        """Tokens embedded so far."""
        return EmbeddingUsage(self.processed, self.processed)

    def cancel(self) -> None:
        """Embed no more of it. Safe to repeat, and after the end."""
        self.wanted = False
        self.over.set()

    def take(self, index: int, row: list[float], seconds: float) -> None:
        """One input is embedded, in so many seconds of its batch."""
        self.seconds += seconds
        self._rows[index] = row
        self.processed += len(self.inputs[index])
        self._left -= 1
        if not self._left and self.wanted:
            self.outcome = "completed"
            self.over.set()

    def fail(self) -> None:
        """The computation failed."""
        if self.wanted:
            self.outcome = "failed"
            self.cancel()


class Item(NamedTuple):
    """One input of a group."""

    group: Group
    place: int
    tokens: NDArray[np.int64]


def batches(items: Many[Item], max_items: int, max_tokens: int) -> list[list[Item]]:
    """Items of similar length together: at most `max_items`, at most `max_tokens` with padding, unless alone."""
    found: list[list[Item]] = []
    text = 0
    for item in sorted(items, key=lambda one: len(one.tokens), reverse=True):
        if found:
            padded = (len(found[-1]) + 1) * len(found[-1][0].tokens)
            fits = len(found[-1]) < max_items and padded <= max_tokens
            if fits and text + len(item.tokens) >= _MIN_SHARE * padded:
                found[-1].append(item)
                text += len(item.tokens)
                continue
        found.append([item])
        text = len(item.tokens)
    return found


class EmbeddingLoop:
    """Runs groups on an encoder. `submit` is for the event loop's thread."""

    def __init__(
        self, encoder: Encoder, metrics: Metrics, *, max_queue: int, max_items: int = 32, max_tokens: int = 8192
    ) -> None:
        self._encoder = encoder
        self._metrics = metrics
        self._max_queue = max_queue
        self._max_items = max_items
        self._max_tokens = max_tokens
        self._wake = threading.Condition()
        self._arrived: list[Item] = []
        self._requests = 0
        self._closed = False
        self._events: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="embeddings", daemon=True)
        self.running = 0
        """Inputs taken up and not yet embedded."""

    @property
    def waiting(self) -> int:
        """Inputs not yet taken up."""
        return len(self._arrived)

    def start(self, events: asyncio.AbstractEventLoop) -> None:
        """Begin; results go to the groups on this event loop."""
        self._events = events
        self._thread.start()

    def stop(self) -> None:
        """End after the batch under way."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, group: Group) -> None:
        """Queue a group. Raises QueueFull if so many wait already; how many inputs each has does not matter."""
        with self._wake:
            if self._requests >= self._max_queue:
                raise QueueFull(f"{self._requests} requests are waiting already; the limit is {self._max_queue}")
            self._requests += 1
            self._arrived.extend(Item(group, index, tokens) for index, tokens in enumerate(group.inputs))
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._closed or self._arrived):
                    self._wake.wait()
                if self._closed:
                    return
                arrived, self._arrived, self._requests = self._arrived, [], 0
            self.running = len(arrived)
            for batch in batches(arrived, self._max_items, self._max_tokens):
                self._embed([item for item in batch if item.group.wanted])
                self.running -= len(batch)

    def _embed(self, batch: list[Item]) -> None:
        if not batch or self._closed or self._events is None:
            return
        started = time.perf_counter()
        try:
            rows = self._encoder.embed([item.tokens for item in batch]).tolist()
        except Exception:  # noqa: BLE001 - the runner: the requests of this batch fail, the next may work
            _log.exception("a batch of %d inputs failed", len(batch))
            self._events.call_soon_threadsafe(_fail, batch)
            return
        tokens = sum(len(item.tokens) for item in batch)
        seconds = time.perf_counter() - started
        self._metrics.embedded(len(batch), tokens, seconds)
        self._events.call_soon_threadsafe(_deliver, batch, rows, seconds / tokens)


def _deliver(batch: list[Item], rows: list[list[float]], per_token_s: float) -> None:
    for item, row in zip(batch, rows, strict=True):
        item.group.take(item.place, row, per_token_s * len(item.tokens))


def _fail(batch: list[Item]) -> None:
    for item in batch:
        item.group.fail()
