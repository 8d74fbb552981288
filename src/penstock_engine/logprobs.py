"""Log probabilities of the likeliest tokens, exact, without sorting the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_TOP = 20
"""Most alternatives that a request may ask for, per token."""
_MIN_GROUPS = 4
_MAX_GROUPS = 64
_COLUMNS_PER_PICK = 4


class Largest(NamedTuple):
    """The k largest entries of each row, largest first."""

    ids: NDArray[np.int64]
    """[rows, k]"""
    values: NDArray[np.float32]
    """[rows, k]"""


@dataclass(frozen=True, slots=True)
class Scores:
    """What the model thought of one token and of its likeliest alternatives."""

    token: int
    logprob: float
    top_ids: list[int]
    """Likeliest first, as many as were asked for."""
    top_logprobs: list[float]


def largest(x: NDArray[np.float32], k: int) -> Largest:
    """The k largest entries of each row of x [rows, n], exactly.

    In two stages where that pays: the vocabulary is folded into columns of g entries; the k columns with the largest
    maxima hold the k largest entries, so only these are looked at one by one.
    """
    rows, n = x.shape
    k = min(k, n)
    groups = min(_MAX_GROUPS, n // (_COLUMNS_PER_PICK * k))
    if groups < _MIN_GROUPS:
        return _sorted(np.argpartition(x, n - k, axis=-1)[:, n - k :], x)
    width = n // groups
    maxima = x[:, : width * groups].reshape(rows, groups, width).max(axis=1)
    columns = np.argpartition(maxima, width - k, axis=-1)[:, width - k :]
    ids = (columns[:, :, None] + np.arange(groups) * width).reshape(rows, -1)
    if n > width * groups:
        rest = np.broadcast_to(np.arange(width * groups, n), (rows, n - width * groups))
        ids = np.concatenate([ids, rest], axis=1)
    values = np.take_along_axis(x, ids, -1)
    pick = np.argpartition(values, values.shape[1] - k, axis=-1)[:, values.shape[1] - k :]
    return _sorted(np.take_along_axis(ids, pick, -1), x)


def logsumexp(x: NDArray[np.float32], largest_value: NDArray[np.float32]) -> NDArray[np.float32]:
    """log(sum(exp(x))) of each row, [rows], given each row's largest value [rows]."""
    sums: NDArray[np.float32] = np.exp(x - largest_value[:, None]).sum(axis=-1, dtype=np.float32)
    return np.log(sums) + largest_value


def score(logits: NDArray[np.float32], tokens: NDArray[np.int64], tops: list[int]) -> list[Scores]:
    """Scores of one token per row of logits [rows, vocabulary], with tops[row] alternatives each."""
    top = largest(logits, max(1, *tops))
    normaliser = logsumexp(logits, top.values[:, 0])
    chosen = (logits[np.arange(len(tokens)), tokens] - normaliser).tolist()
    ids = top.ids.tolist()
    logprobs = (top.values - normaliser[:, None]).tolist()
    return [
        Scores(int(token), chosen[row], ids[row][:count], logprobs[row][:count])
        for row, (token, count) in enumerate(zip(tokens.tolist(), tops, strict=True))
    ]


def _sorted(ids: NDArray[np.int64], x: NDArray[np.float32]) -> Largest:
    values = np.take_along_axis(x, ids, -1)
    order = np.argsort(-values, axis=-1, kind="stable")
    return Largest(np.take_along_axis(ids, order, -1), np.take_along_axis(values, order, -1))
