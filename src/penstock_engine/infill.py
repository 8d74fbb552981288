"""Texts with a gap: the prompt before it and the suffix after it, in the tokens that a model was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from penstock_engine.refusal import BadRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from penstock_engine.tokenizer import Tokenizer

_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"


@dataclass(frozen=True, slots=True)
class _Way:
    """Names of the tokens before the prompt, before the suffix and before the answer, and of one more that ends it."""

    before: str
    after: str
    middle: str
    end: str = ""
    suffix_first: bool = False


_WAYS = (
    _Way(f"{_SPACE}<PRE>", f"{_SPACE}<SUF>", f"{_SPACE}<MID>", f"{_SPACE}<EOT>"),  # CodeLlama
    _Way("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|endoftext|>"),
    _Way("<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<|endoftext|>"),
    _Way("[PREFIX]", "[SUFFIX]", "", suffix_first=True),  # Codestral
)


class Infill:
    """Knows whether and how a model fills gaps."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        found = (way for way in _WAYS if all(_knows(tokenizer, name) for name in (way.before, way.after, way.middle)))
        self._way = next(found, None)

    def prompt(self, before: NDArray[np.int64], suffix: str) -> NDArray[np.int64]:
        """The tokens that ask for what stands between the two. `before` has the model's begin token in front.

        Raises BadRequest if the model does not know gaps.
        """
        way = self._way
        if way is None:
            raise BadRequest('parameter "suffix" is not supported by this model: it was not trained to fill gaps')
        after = self._tokenizer.encode(suffix, special=False)
        start = before[:1] if len(before) and int(before[0]) in self._tokenizer.special else before[:0]
        text = before[len(start) :]
        parts = [self._token(way.before), text, self._token(way.after), after]
        if way.suffix_first:
            parts = [*parts[2:], *parts[:2]]
        return np.concatenate([start, *parts, self._token(way.middle)])

    @property
    def ends(self) -> frozenset[int]:
        """What ends the filling of a gap, besides the model's own end tokens."""
        end = self._tokenizer.id_of(self._way.end) if self._way is not None and self._way.end else None
        return frozenset() if end is None else frozenset({end})

    def _token(self, name: str) -> NDArray[np.int64]:
        id_ = self._tokenizer.id_of(name) if name else None
        return np.array([] if id_ is None else [id_], np.int64)


def _knows(tokenizer: Tokenizer, name: str) -> bool:
    return not name or tokenizer.id_of(name) is not None
