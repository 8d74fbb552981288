"""One answer in the making: its tokens, its place in the KV cache and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from penstock_engine.blocks import ROOT, chain
from penstock_engine.sampling import Chooser, Sampling

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from penstock_engine.logprobs import Scores


class Finish(StrEnum):
    """Why a sequence ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Output(NamedTuple):
    """What one step gave one sequence."""

    sequence: Sequence
    token: int | None
    scores: Scores | None
    finish: Finish | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a sequence besides its prompt."""

    max_tokens: int
    min_tokens: int = 0
    ends: frozenset[int] = frozenset()
    """Tokens that end the answer."""
    ignore_ends: bool = False
    """Go on to max_tokens whatever is said."""
    top_logprobs: int | None = None
    """Alternatives to score per token; None: no scores."""
    score_prompt: bool = False
    """Score the prompt's tokens too."""


class Sequence:
    """Tokens, KV blocks and progress of one answer. Belongs to the step thread once submitted."""

    __slots__ = (
        "adapter", "after", "blocks", "cached", "choice", "chooser", "computed", "deadline", "digests", "ends",
        "finish", "length", "listener", "processed", "prompt_length", "prompt_scores", "root", "scored", "seconds",
        "table", "terms", "tokens",
    )  # fmt: skip

    def __init__(
        self,
        prompt: NDArray[np.int64],
        terms: Terms,
        sampling: Sampling,
        choice: int = 0,
        after: Sequence | None = None,
        *,
        root: bytes = ROOT,
        adapter: str = "",
    ) -> None:
        """`after`: a sequence with the same prompt whose prefill is waited for, so that it is computed only once.

        Blocks are shared with sequences of the same `root` (`blocks.root`).
        """
        self.terms = terms
        self.choice = choice
        self.after = after
        self.ends = frozenset() if terms.ignore_ends else terms.ends
        self.chooser = Chooser(sampling, choice, prompt, terms.ends, terms.min_tokens)
        self.prompt_length = len(prompt)
        self.tokens = np.empty(len(prompt) + terms.max_tokens, np.int64)
        self.tokens[: len(prompt)] = prompt
        self.length = len(prompt)
        self.computed = 0
        """Tokens whose keys and values are in the blocks."""
        self.processed = 0
        """Most tokens that were ever in the blocks; `computed` falls back when the sequence is preempted."""
        self.cached = 0
        """Prompt tokens that were taken over from the prefix cache at first admission."""
        self.scored = 0 if terms.score_prompt else len(prompt) - 1
        """Prompt positions before this one need no logits any more."""
        self.prompt_scores: list[Scores] = []
        self.blocks: list[int] = []
        self.table = np.empty(0, np.int32)
        self.root = root
        self.adapter = adapter
        """Name of the adapter that it is computed with; empty: the model as it is."""
        self.digests: list[bytes] = []
        self.finish: Finish | None = None
        self.deadline = 0.0
        """Prompts are computed in this order; those alike in the order in which they came."""
        self.seconds = 0.0
        """Of the steps so far, this sequence's part."""
        self.listener: Callable[[Output], None] | None = None
        """Called on the event loop with every output; the last one has `finish`."""

    @property
    def remaining(self) -> int:
        """Known tokens that still have to be computed before the next one can be chosen."""
        return self.length - self.computed

    @property
    def generated(self) -> int:
        """Tokens of the answer so far."""
        return self.length - self.prompt_length

    @property
    def scoring(self) -> bool:
        """Whether tokens of the prompt still have to be scored."""
        return self.scored < self.prompt_length - 1

    @property
    def wanted_from(self) -> int:
        """The first position whose logits are needed: what comes before may be taken from the prefix cache."""
        return self.scored if self.scoring else self.length - 1

    def rows(self, count: int) -> int:
        """Trailing positions of the next `count` tokens whose logits are needed."""
        return max(0, self.computed + count - max(self.computed, self.wanted_from))

    def advance(self, count: int) -> None:
        """`count` more tokens are in the blocks."""
        self.computed += count
        if self.scoring:
            self.scored = max(self.scored, min(self.computed, self.prompt_length - 1))

    def append(self, token: int) -> None:
        """The next token was chosen; sets `finish` if it is the last one."""
        self.tokens[self.length] = token
        self.length += 1
        if token in self.ends and self.generated > self.terms.min_tokens:
            self.finish = Finish.STOP
        elif self.generated >= self.terms.max_tokens:
            self.finish = Finish.LENGTH

    def attach(self, blocks: list[int]) -> None:
        """These blocks follow the ones the sequence has."""
        start = len(self.blocks)
        self.blocks.extend(blocks)
        if len(self.blocks) > len(self.table):
            grown = np.empty(max(len(self.blocks), 2 * len(self.table)), np.int32)
            grown[:start] = self.table[:start]
            self.table = grown
        self.table[start : len(self.blocks)] = blocks

    def detach(self) -> list[int]:
        """Gives up all blocks, and with them what was computed."""
        blocks, self.blocks = self.blocks, []
        self.processed = max(self.processed, self.computed)
        self.computed = 0
        self.deadline = 0.0
        return blocks

    def digest(self, count: int, block_size: int) -> list[bytes]:
        """Digests of the first `count` blocks, all of them full of known tokens."""
        while len(self.digests) < count:
            start = len(self.digests) * block_size
            previous = self.digests[-1] if self.digests else self.root
            self.digests.append(chain(previous, self.tokens[start : start + block_size]))
        return self.digests[:count]
