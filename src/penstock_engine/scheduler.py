"""What goes into the next step. Decides, and keeps the books of KV blocks; computes nothing and knows no clock."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from penstock_engine.blocks import BlockPool
    from penstock_engine.sequence import Sequence

SCORING_CHUNK = 64
"""Most tokens of a prompt that is being scored in one step: each of them needs a whole row of logits."""


class Slot(NamedTuple):
    """One sequence's part of a step: its next `new` tokens, with logits for the last `rows` of them."""

    sequence: Sequence
    new: int
    rows: int


class Scheduler:
    """Running sequences decode in every step; what is left of the prefill budget goes to prompts, by their deadlines.

    A sequence is admitted when blocks for all its known tokens are free and one more for each that already runs. When a
    decode finds no block, the sequence admitted last gives up its blocks and is computed again later, so that the
    oldest always gets on. Not thread safe.
    """

    def __init__(self, pool: BlockPool, block_size: int, max_running: int, prefill_chunk: int) -> None:
        """`prefill_chunk`: most tokens in one step, which bounds how long decodes are held up.

        Decodes count too: full steps are then all of the same length, and the kernels keep something for every length
        that they have met. Half of it stays for prompts, however many sequences decode.
        """
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.preemptions = 0
        self._pool = pool
        self._block_size = block_size
        self._max_running = max_running
        self._prefill_chunk = prefill_chunk

    def add(self, sequence: Sequence) -> None:
        """Put a new sequence at the end of the queue."""
        self.waiting.append(sequence)

    def drop(self, sequence: Sequence) -> None:
        """A sequence has ended, for whatever reason: free its blocks. Safe to repeat."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._pool.release(sequence.detach())
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def uses(self, adapter: str) -> bool:
        """Whether a sequence that waits or runs is computed with it."""
        return any(sequence.adapter == adapter for sequence in (*self.waiting, *self.running))

    def plan(self) -> list[Slot]:
        """The next step, decodes first; empty if nothing waits or runs."""
        self._grow()
        decodes = [Slot(s, 1, 1) for s in self.running if s.length - s.computed == 1]
        slots = decodes
        budget = max(self._prefill_chunk - len(decodes), (self._prefill_chunk + 1) // 2)
        if self.waiting or len(decodes) < len(self.running):
            self._prefill(budget, slots)
        return slots

    def commit(self, slots: Many[Slot]) -> None:
        """The planned step has been computed: blocks that it filled can be shared from now on."""
        size = self._block_size
        for sequence, count, _ in slots:
            before = sequence.computed // size
            sequence.advance(count)
            full = sequence.computed // size
            if full > before:
                digests = sequence.digest(full, size)
                for index in range(before, full):
                    self._pool.publish(sequence.blocks[index], digests[index])

    def _grow(self) -> None:
        """Blocks for the next token of every running sequence, from the youngest if there are no others."""
        size = self._block_size
        index = 0
        while index < len(self.running):
            sequence = self.running[index]
            while len(sequence.blocks) * size < sequence.length:
                if self._pool.free:
                    sequence.attach(self._pool.allocate(1))
                    continue
                self._preempt(self.running[-1])
                if index >= len(self.running):
                    return
            index += 1

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._pool.release(sequence.detach())
        self.waiting.appendleft(sequence)
        self.preemptions += 1

    def _prefill(self, budget: int, slots: list[Slot]) -> None:
        """Spend the budget on prompts in order; a waiting one is started when it is its turn, if there is room.

        One that waits for its sibling's prefill lets others pass; one that finds no room lets none pass that waits.
        """
        prompts = [sequence for sequence in self.running if sequence.remaining > 1]
        full = len(self.running) >= self._max_running
        for sequence in sorted([*prompts, *self.waiting], key=_deadline):
            if not sequence.blocks:
                if full or _sibling_prefills(sequence):
                    continue
                if not self._start(sequence):
                    full = True
                    continue
                self.waiting.remove(sequence)
                full = len(self.running) >= self._max_running
            count = min(sequence.remaining, budget)
            if sequence.scoring:
                count = min(count, SCORING_CHUNK)
            slots.append(Slot(sequence, count, sequence.rows(count)))
            budget -= count
            if not budget:
                return

    def _start(self, sequence: Sequence) -> bool:
        """Give the sequence blocks for all its known tokens, cached ones first; False if there are too few."""
        size = self._block_size
        reusable = sequence.wanted_from // size
        found = self._pool.match(sequence.digest(reusable, size))
        missing = -(-sequence.length // size) - len(found)
        if missing + len(self.running) > self._pool.free - self._pool.idle(found):
            return False
        self._pool.hold(found)
        sequence.attach(found)
        sequence.attach(self._pool.allocate(missing))
        sequence.computed = len(found) * size
        if sequence.processed == 0:
            sequence.cached = min(sequence.computed, sequence.prompt_length)
        self.running.append(sequence)
        return True


def _deadline(sequence: Sequence) -> float:
    return sequence.deadline


def _sibling_prefills(sequence: Sequence) -> bool:
    """Whether the sequence with the same prompt is still about to compute it."""
    sibling = sequence.after
    if sibling is None:
        return False
    if sibling.finish is not None or max(sibling.computed, sibling.processed) >= sibling.prompt_length:
        sequence.after = None
        return False
    return True
