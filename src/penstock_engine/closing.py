"""The short way from the middle of an answer to its end, so that it is complete before its tokens are used up."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from penstock_engine.reader import THOUGHT

if TYPE_CHECKING:
    from llguidance import LLMatcher

    from penstock_engine.words import Words

_ENDS = "}]"
_OUTSIDE = _ENDS + ',:0123456789ntf"[{-.'
"""What brings a value to its end, outside of strings, the quickest first: what may hold further values last."""
_INSIDE = '"0a-A/:@. '
"""The same in a string; after the quote what patterns often ask for."""
_FREE = "~"
"""What may stand in strings only."""
_BRANCHES = 64
"""Ways that are looked at before the search is given up."""
_WIDE = 8
"""Where more than so many letters may follow, any is as good: it is a class of letters, not a choice of words."""


@dataclass(slots=True)
class _Walk:
    """A way so far."""

    matcher: LLMatcher
    way: list[int]
    thinking: bool

    def take(self, step: list[int]) -> bool:
        """Go on by these tokens; False if that is not possible."""
        self.way += step
        return bool(self.matcher.consume_tokens(step))


class Closing:
    """Finds the way for every grammar of a model. Safe to use from several threads."""

    def __init__(self, words: Words) -> None:
        ids = {piece: id_ for id_, piece in enumerate(words.tokens) if piece}
        self._outside = [ids[letter.encode()] for letter in _OUTSIDE if letter.encode() in ids]
        self._ends = self._outside[: len(_ENDS)]
        self._inside = [ids[letter.encode()] for letter in _INSIDE if letter.encode() in ids]
        self._free = ids.get(_FREE.encode())
        thought = ids.get(THOUGHT.encode())
        self._thought = [thought] if thought is not None else words(THOUGHT)
        self._end = words.eos_token_id
        self._pieces = words.tokens

    def way(self, matcher: LLMatcher, limit: int, *, thinking: bool) -> list[int] | None:
        """Tokens to the end, without the end token; None if no such way is found within `limit` tokens.

        The matcher is left as it is. Where it thinks, the way leads out of the thoughts first; where it parts, the
        shortest branch is followed first. What is best by itself may lead into values that hold themselves without
        end: then it is looked for again with every choice of a letter as a parting.
        """
        found = self._search(matcher, limit, thinking, wide=False)
        return self._search(matcher, limit, thinking, wide=True) if found is None else found

    def _search(self, matcher: LLMatcher, limit: int, thinking: bool, *, wide: bool) -> list[int] | None:
        number = itertools.count()
        waiting = [(0, next(number), _Walk(matcher.deep_copy(), [], thinking))]
        for _ in range(_BRANCHES):
            if not waiting:
                break
            _, _, walk = heapq.heappop(waiting)
            if walk.matcher.is_accepting():
                return walk.way
            for branch in self._branches(walk, limit, wide=wide):
                heapq.heappush(waiting, (len(branch.way), next(number), branch))
        return None

    def _branches(self, walk: _Walk, limit: int, *, wide: bool) -> list[_Walk]:
        """Where the way leads: straight on to its end or to where it parts, and then every part of it."""
        while len(walk.way) <= limit:
            if walk.matcher.is_accepting():
                return [walk]
            steps = self._steps(walk, wide=wide)
            if len(steps) != 1:
                parts = [_Walk(walk.matcher.deep_copy(), [*walk.way], walk.thinking) for _ in steps]
                return [part for part, step in zip(parts, steps, strict=True) if part.take(step)]
            if not walk.take(steps[0]):
                break
        return []

    def _steps(self, walk: _Walk, *, wide: bool) -> list[list[int]]:
        """What may be said next: one thing where it is clear what is best, or, if `wide`, where it closes something."""
        matcher = walk.matcher
        if walk.thinking and matcher.validate_tokens(self._thought) == len(self._thought):
            walk.thinking = False
            return [self._thought]
        forced: list[int] = matcher.compute_ff_tokens()
        forced = forced[: matcher.validate_tokens(forced)] if forced else []
        if forced:
            return [forced]
        free = self._free is not None and matcher.validate_tokens([self._free])
        if wide and not free and not any(matcher.validate_tokens([token]) for token in self._ends):
            letters = self._letters(matcher)
            if len(letters) > 1:
                return letters
        for token in self._inside if free else self._outside:
            if matcher.validate_tokens([token]):
                return [[token]]
        return self._letters(matcher)

    def _letters(self, matcher: LLMatcher) -> list[list[int]]:
        """A short token for each letter that may follow, or just one where very many may."""
        bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        allowed = np.flatnonzero(np.unpackbits(bits, count=len(self._pieces), bitorder="little")).tolist()
        found: dict[bytes, int] = {}
        for id_ in sorted(allowed, key=lambda id_: len(self._pieces[id_])):
            if id_ != self._end:
                found.setdefault(self._pieces[id_][:1], id_)
        return [[id_] for id_ in found.values()][: None if len(found) <= _WIDE else 1]
