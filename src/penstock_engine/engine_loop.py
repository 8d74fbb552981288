"""The step thread: it alone touches the model and the scheduler, and hands results to the event loop once per step."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from penstock_engine.blocks import BlockPool
from penstock_engine.guide import Masks
from penstock_engine.logprobs import score
from penstock_engine.refusal import QueueFull
from penstock_engine.sampling import choose
from penstock_engine.scheduler import Scheduler, Slot
from penstock_engine.sequence import Finish, Output, Sequence
from penstock_engine.step_cost import StepCost
from penstock_engine.work import Work

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from collections.abc import Sequence as Many

    from numpy.typing import NDArray

    from penstock_engine.guide import Guide
    from penstock_engine.logprobs import Scores
    from penstock_engine.metrics import Metrics
    from penstock_engine.work import Decoder

    Made = TypeVar("Made")

_log = logging.getLogger(__name__)
_FATAL_FAILURES = 3
"""Steps that may fail in a row before the engine gives up, for its keeper to start a new one."""


_GRACE_SECONDS = 0.001
"""Masks are computed beside a step and nearly always ready before it; all of them are waited for so long at most."""
_HELD_SECONDS = 0.005


class EngineLoop:
    """Runs sequences on a decoder. `submit` and `cancel` are for the event loop's thread."""

    def __init__(
        self,
        decoder: Decoder,
        metrics: Metrics,
        *,
        max_running: int,
        max_queue: int,
        prefill_chunk: int,
        on_fatal: Callable[[], None],
    ) -> None:
        self._decoder = decoder
        self._metrics = metrics
        self._max_running = max_running
        self._max_queue = max_queue
        self._on_fatal = on_fatal
        self._failures = 0
        self._cost = StepCost()
        self.pool = BlockPool(decoder.num_blocks)
        self.scheduler = Scheduler(self.pool, decoder.block_size, max_running, prefill_chunk)
        self._wake = threading.Condition()
        self.masks = Masks(metrics.masked)
        self._held: list[_Held] = []
        self._arrived: list[Sequence] = []
        self._unwanted: list[Sequence] = []
        self._calls: list[_Call] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="steps", daemon=True)
        self._events: asyncio.AbstractEventLoop | None = None

    @property
    def running(self) -> int:
        """Sequences in the batch."""
        return len(self.scheduler.running)

    @property
    def waiting(self) -> int:
        """Sequences that are not yet, or for the moment not, in the batch."""
        return len(self.scheduler.waiting) + len(self._arrived)

    def start(self, events: asyncio.AbstractEventLoop) -> None:
        """Begin stepping; outputs go to each sequence's listener on this event loop."""
        self._events = events
        self._thread.start()

    def stop(self) -> None:
        """End after the step under way; sequences that still run get no more outputs."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()
        for call in self._calls:
            call.future.cancel()
        self.masks.stop()

    def submit(self, sequences: Many[Sequence]) -> None:
        """Queue the sequences of one request. Raises QueueFull if not even one more may wait."""
        with self._wake:
            free = max(0, self._max_running - self.running)
            if self.waiting >= self._max_queue + free:
                raise QueueFull(f"{self.waiting} requests are waiting already; the limit is {self._max_queue}")
            self._arrived.extend(sequences)
            self._wake.notify()

    def cancel(self, sequences: Many[Sequence]) -> None:
        """End these within a step. Each that had not ended by itself gets a last output that says so."""
        with self._wake:
            self._unwanted.extend(sequences)
            self._wake.notify()

    def between(self, make: Callable[[], Made]) -> Future[Made]:
        """The step thread calls `make` before its next step, with all that was submitted before in its books.

        Once it has ended, the future is cancelled.
        """
        future: Future[Made] = Future()
        with self._wake:
            if self._closed:
                future.cancel()
                return future
            self._calls.append(_Call(make, future))
            self._wake.notify()
        return future

    def step(self) -> list[Output]:
        """Take in what was submitted and cancelled, and compute one step. Once started, only the thread calls this."""
        with self._wake:
            arrived, self._arrived = self._arrived, []
            unwanted, self._unwanted = self._unwanted, []
            calls, self._calls = self._calls, []
            for sequence in arrived:
                self.scheduler.add(sequence)
        outputs = [self._end(sequence, Finish.CANCELLED) for sequence in unwanted if sequence.finish is None]
        for call in calls:
            call.run()
        self._compute(outputs)
        return outputs

    def _run(self) -> None:
        try:
            while self._something_to_do():
                outputs = self.step()
                if outputs and self._events is not None:
                    self._events.call_soon_threadsafe(_deliver, outputs)
        except Exception:  # noqa: BLE001 - the runner: whatever it is, the engine must end and say so
            _log.exception("the step thread failed")
            self._on_fatal()

    def _something_to_do(self) -> bool:
        """Wait for it; False once the loop is closed."""
        with self._wake:
            while not (self._closed or self._arrived or self._unwanted or self._calls or self._busy()):
                self._wake.wait()
            return not self._closed

    def _busy(self) -> bool:
        return bool(self.scheduler.running or self.scheduler.waiting)

    def _end(self, sequence: Sequence, finish: Finish) -> Output:
        sequence.finish = finish
        self.scheduler.drop(sequence)
        return Output(sequence, None, None, finish)

    def _compute(self, outputs: list[Output]) -> None:
        """One step of the model; what came out is added to `outputs`."""
        self._choose_held(outputs)
        slots = self.scheduler.plan()
        if not slots:
            if self._held:
                self.masks.news.wait(_HELD_SECONDS)
            return
        started = time.perf_counter()
        try:
            work = [_work(slot) for slot in slots]
            logits = self._decoder.step(work)
            computed = time.perf_counter()
            self.scheduler.commit(slots)
            self._choose(slots, logits, outputs)
            self._cost.divide(slots, work, time.perf_counter() - started)
        except Exception:  # noqa: BLE001 - the runner: the requests of this step fail, the next step may work
            _log.exception("a step of %d sequences failed", len(slots))
            outputs.extend(self._end(slot.sequence, Finish.FAILED) for slot in slots if slot.sequence.finish is None)
            self._failures += 1
            if self._failures >= _FATAL_FAILURES:
                self._on_fatal()
            return
        self._failures = 0
        self._metrics.stepped(slots, computed - started)

    def _choose(self, slots: list[Slot], logits: NDArray[np.float32], outputs: list[Output]) -> None:
        """Choose a token for every sequence whose known tokens are all computed."""
        ready: list[Sequence] = []
        rows: list[int] = []
        end = 0
        for sequence, _, count in slots:
            end += count
            if sequence.terms.score_prompt and sequence.generated == 0 and count:
                _score_prompt(sequence, logits[end - count : end])
            if sequence.computed == sequence.length:
                if sequence.terms.max_tokens:
                    ready.append(sequence)
                    rows.append(end - 1)
                else:
                    outputs.append(self._end(sequence, Finish.LENGTH))
        if ready:
            self._answer(ready, logits if len(rows) == len(logits) else logits[rows], outputs)

    def _choose_held(self, outputs: list[Output]) -> None:
        """Go on with those whose mask was not ready when their logits were."""
        self.masks.news.clear()
        ready: list[_Held] = []
        held, self._held = self._held, []
        for one in held:
            if one.still:
                (ready if one.guide.ready.is_set() else self._held).append(one)
        if ready:
            self._answer([one.sequence for one in ready], np.stack([one.logits for one in ready]), outputs)

    def _answer(self, sequences: list[Sequence], logits: NDArray[np.float32], outputs: list[Output]) -> None:
        """A token for each of the sequences, except those whose mask is not ready: their logits are kept."""
        until = time.perf_counter() + _GRACE_SECONDS
        ready = [
            row for row, sequence in enumerate(sequences) if self._may_choose(sequence, logits[row], until, outputs)
        ]
        if len(ready) < len(sequences):
            sequences, logits = [sequences[row] for row in ready], logits[ready]
        if not sequences:
            return
        tokens = choose(logits, [sequence.chooser for sequence in sequences])
        scored = _scores(sequences, logits, tokens)
        for row, (sequence, token) in enumerate(zip(sequences, tokens, strict=True)):
            sequence.append(token)
            outputs.append(Output(sequence, token, scored.get(row), sequence.finish))
            if sequence.finish is not None:
                self.scheduler.drop(sequence)
            elif sequence.chooser.guide is not None:
                sequence.chooser.guide.push(token, self.masks)

    def _may_choose(self, sequence: Sequence, logits: NDArray[np.float32], until: float, outputs: list[Output]) -> bool:
        guide = sequence.chooser.guide
        if guide is None:
            return True
        if not guide.ready.wait(max(0.0, until - time.perf_counter())):
            self._held = [one for one in self._held if one.sequence is not sequence]
            self._held.append(_Held(sequence, guide, logits.copy()))
            self._metrics.mask_late()
            return False
        if guide.failed:
            outputs.append(self._end(sequence, Finish.FAILED))
        return not guide.failed


class _Call(NamedTuple):
    """What somebody wants called between two steps."""

    make: Callable[[], Any]
    future: Future[Any]

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.make())
        except Exception as error:  # noqa: BLE001 - it is raised where the result is waited for
            self.future.set_exception(error)


class _Held(NamedTuple):
    """A sequence whose next token waits for its mask, without holding others up."""

    sequence: Sequence
    guide: Guide
    logits: NDArray[np.float32]

    @property
    def still(self) -> bool:
        """Whether it still waits: it may have ended, or have given up its blocks and be computed again."""
        return self.sequence.finish is None and self.sequence.computed == self.sequence.length


def _deliver(outputs: list[Output]) -> None:
    """On the event loop: every output to its listener."""
    for output in outputs:
        if output.sequence.listener is not None:
            output.sequence.listener(output)


def _work(slot: Slot) -> Work:
    sequence = slot.sequence
    start = sequence.computed
    tokens, table = sequence.tokens[start : start + slot.new], sequence.table[: len(sequence.blocks)]
    return Work(start, tokens, table, slot.rows, sequence.adapter)


def _scores(sequences: list[Sequence], logits: NDArray[np.float32], tokens: list[int]) -> dict[int, Scores]:
    """Scores by row, for the sequences that asked for them."""
    rows = [row for row, sequence in enumerate(sequences) if sequence.terms.top_logprobs is not None]
    if not rows:
        return {}
    wanted = [sequences[row].terms.top_logprobs or 0 for row in rows]
    return dict(zip(rows, score(logits[rows], np.array([tokens[row] for row in rows]), wanted), strict=True))


def _score_prompt(sequence: Sequence, logits: NDArray[np.float32]) -> None:
    """Score the prompt tokens that follow the rows just computed; the last row is for the answer's first token."""
    first = sequence.computed - len(logits)
    known = min(len(logits), sequence.prompt_length - 1 - first)
    missing = len(sequence.prompt_scores) - first
    if known > missing:
        tokens = sequence.tokens[first + 1 + missing : first + 1 + known]
        tops = [sequence.terms.top_logprobs or 0] * (known - missing)
        sequence.prompt_scores.extend(score(logits[missing:known], tokens, tops))
