"""Choosing the next token of every sequence of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from penstock_engine.logprobs import largest, logsumexp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from penstock_engine.guide import Guide

GREEDY_BELOW = 1e-5
"""Temperatures below this choose the likeliest token."""
_NUCLEUS_GUESS = 128
"""So many tokens usually hold the top_p share; where they do not, the row is sorted in full."""
_GROUP = 64


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one request wants its tokens chosen. top_k = 0 is off; logit_bias is added to the logits as it is."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature < GREEDY_BELOW

    @property
    def penalised(self) -> bool:
        """Whether earlier tokens change the logits."""
        return self.presence_penalty != 0 or self.frequency_penalty != 0 or self.repetition_penalty != 1


class Chooser:
    """One sequence's own state of choosing: its random numbers and what it has said so far."""

    __slots__ = (
        "_bias", "_counts", "_forbidden", "_min_tokens", "_prompt", "_random", "_said", "greedy", "guide", "sampling",
    )  # fmt: skip

    def __init__(
        self, sampling: Sampling, choice: int, prompt: NDArray[np.int64], forbidden: frozenset[int], min_tokens: int
    ) -> None:
        """`forbidden` tokens (the end tokens) are not chosen before `min_tokens` tokens are said.

        With a seed, choice number `choice` of a request draws the same random numbers in every run and in any batch.
        """
        self.sampling = sampling
        self.guide: Guide | None = None
        """What the answer is held to; ready whenever a token is chosen."""
        self.greedy = sampling.greedy
        seed = None if sampling.seed is None else [abs(sampling.seed), int(sampling.seed < 0), choice]
        self._random = None if self.greedy else np.random.default_rng(seed)
        self._forbidden = np.fromiter(forbidden, np.int64, len(forbidden))
        self._min_tokens = min_tokens if forbidden else 0
        self._said = 0
        self._counts: dict[int, int] = {}
        self._prompt = np.unique(prompt) if sampling.repetition_penalty != 1 else prompt[:0]
        ids = np.array([token for token, _ in sampling.logit_bias], np.int64)
        self._bias = (ids, np.array([bias for _, bias in sampling.logit_bias], np.float32))

    @property
    def plain(self) -> bool:
        """Whether the model's logits are used as they are."""
        usual = self._said >= self._min_tokens and self.guide is None
        return usual and not self.sampling.penalised and not self.sampling.logit_bias

    def uniform(self) -> float:
        """The next random number in [0, 1)."""
        return 0.0 if self._random is None else self._random.random()

    def said(self, token: int) -> None:
        """The token was chosen."""
        self._said += 1
        if self.sampling.penalised:
            self._counts[token] = self._counts.get(token, 0) + 1

    def adjust(self, row: NDArray[np.float32]) -> None:
        """Change one row of logits in place: penalties, bias, end tokens that come too early, what the guide forbids.

        Presence and frequency count the answer only, the repetition penalty the prompt too, as other engines do.
        """
        wanted = self.sampling
        if wanted.penalised:
            ids = np.fromiter(self._counts.keys(), np.int64, len(self._counts))
            if wanted.repetition_penalty != 1:
                seen = np.union1d(self._prompt, ids)
                old = row[seen]
                row[seen] = np.where(old > 0, old / wanted.repetition_penalty, old * wanted.repetition_penalty)
            counts = np.fromiter(self._counts.values(), np.float32, len(self._counts))
            row[ids] -= wanted.presence_penalty + wanted.frequency_penalty * counts
        if wanted.logit_bias:
            row[self._bias[0]] += self._bias[1]
        if self._said < self._min_tokens:
            row[self._forbidden] = -np.inf
        if self.guide is not None:
            np.copyto(row, -np.inf, where=self.guide.forbidden)


def choose(logits: NDArray[np.float32], choosers: Sequence[Chooser]) -> list[int]:
    """One token for each row of logits [rows, vocabulary]; the logits are not changed."""
    plain = True
    greedy = True
    for chooser in choosers:
        plain = plain and chooser.plain
        greedy = greedy and chooser.greedy
    if not plain:
        logits = logits.copy()
        for row, chooser in enumerate(choosers):
            if not chooser.plain:
                chooser.adjust(logits[row])
    if greedy:
        tokens: list[int] = logits.argmax(axis=-1).tolist()
    else:
        tokens = _mixed(logits, choosers)
    for chooser, token in zip(choosers, tokens, strict=True):
        chooser.said(token)
    return tokens


def _mixed(logits: NDArray[np.float32], choosers: Sequence[Chooser]) -> list[int]:
    tokens = np.zeros(len(choosers), np.int64)
    whole, cut, greedy = [], [], []
    for row, chooser in enumerate(choosers):
        if chooser.greedy:
            greedy.append(row)
        elif chooser.sampling.top_k or chooser.sampling.top_p < 1:
            cut.append(row)
        else:
            whole.append(row)
    if greedy:
        tokens[greedy] = logits[greedy].argmax(axis=-1)
    for rows, draw in ((whole, _draw_whole), (cut, _draw_cut)):
        if rows:
            picked = [choosers[row] for row in rows]
            temperature = np.array([chooser.sampling.temperature for chooser in picked], np.float32)
            shifted = logits[rows]
            shifted -= shifted.max(axis=-1, keepdims=True)
            shifted /= temperature[:, None]
            tokens[rows] = draw(shifted, picked)
    chosen: list[int] = tokens.tolist()
    return chosen


def _draw_whole(x: NDArray[np.float32], choosers: Sequence[Chooser]) -> NDArray[np.int64]:
    """Draw from softmax(x) by inverting its distribution function, first over groups of tokens, then inside one."""
    rows, n = x.shape
    groups = -(-n // _GROUP)
    weights = np.zeros((rows, groups * _GROUP), np.float32)
    np.exp(x, out=weights[:, :n])
    grouped = weights.reshape(rows, groups, _GROUP)
    edges = grouped.sum(axis=-1, dtype=np.float64).cumsum(axis=-1)
    tokens = np.empty(rows, np.int64)
    for row, chooser in enumerate(choosers):
        point = chooser.uniform() * edges[row, -1]
        group = min(int(edges[row].searchsorted(point, side="right")), groups - 1)
        inside = grouped[row, group].astype(np.float64)
        tokens[row] = group * _GROUP + _invert(inside, point - (edges[row, group - 1] if group else 0.0))
    return tokens


def _draw_cut(x: NDArray[np.float32], choosers: Sequence[Chooser]) -> NDArray[np.int64]:
    """Draw from the top_k likeliest tokens, of these from the smallest set that holds the top_p share."""
    guess = max(chooser.sampling.top_k or _NUCLEUS_GUESS for chooser in choosers)
    top = largest(x, guess)
    totals = np.exp(logsumexp(x, top.values[:, 0])).astype(np.float64)
    tokens = np.empty(len(choosers), np.int64)
    for row, chooser in enumerate(choosers):
        ids, values = top.ids[row], top.values[row]
        wanted = chooser.sampling
        if wanted.top_k:
            ids, values = ids[: wanted.top_k], values[: wanted.top_k]
        weights = np.exp(values.astype(np.float64))
        total = weights.sum() if wanted.top_k else totals[row]
        if not wanted.top_k and weights.sum() < wanted.top_p * total and len(ids) < x.shape[1]:
            ids, weights = _nucleus(x[row], wanted.top_p)
        elif wanted.top_p < 1:
            kept = int(weights.cumsum().searchsorted(wanted.top_p * total)) + 1
            ids, weights = ids[:kept], weights[:kept]
        tokens[row] = ids[_invert(weights, chooser.uniform() * weights.sum())]
    return tokens


def _nucleus(row: NDArray[np.float32], top_p: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ids and weights of the smallest set with the top_p share. Sorting values is much cheaper than sorting ids."""
    weights = np.exp(row)
    ranked = np.sort(weights)[::-1]
    share = ranked.cumsum(dtype=np.float64)
    least = ranked[min(int(share.searchsorted(top_p * share[-1])), len(ranked) - 1)]
    ids = np.flatnonzero(weights >= least)
    return ids, weights[ids].astype(np.float64)


def _invert(weights: NDArray[np.float64], point: float) -> int:
    """The index at which the running sum of weights passes the point; never one of weight zero."""
    index = int(weights.cumsum().searchsorted(point, side="right"))
    return index if index < len(weights) else int(np.flatnonzero(weights)[-1])
