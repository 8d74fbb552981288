"""Compiles grammars, once for all requests that have the same, and opens guides in them."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from penstock_engine.closing import Closing
from penstock_engine.guide import Guide
from penstock_engine.refusal import BadRequest
from penstock_engine.words import Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llguidance import LLMatcher, LLTokenizer

    from penstock_engine.grammar import Grammar
    from penstock_engine.sequence import Terms
    from penstock_engine.tokenizer import Tokenizer

_KEPT = 128
"""Compiled grammars."""
_LEXER_STATES = 50_000
"""Of one grammar; each takes a kilobyte or two."""
_SHOWN = 300
_KEYWORDS = re.compile(r"Unimplemented keys: \[(.*?)\]")
_PATTERN = "regex parse error:"
_FORMAT = re.compile(r"Unknown format: (\S+)")


class Grammars:
    """Everything here runs on a thread of its own: a large grammar may take a second."""

    def __init__(self, tokenizer: Tokenizer, width: int) -> None:
        """`width`: columns of the model's logits."""
        self.thread = ThreadPoolExecutor(1, "grammars")
        self._tokenizer = tokenizer
        self._width = width
        self._opened: _Library | None = None
        self._known: OrderedDict[str, LLMatcher] = OrderedDict()

    def prepare(self) -> None:
        """Make at once what is made of the model's tokens, where they allow it: nobody else gets on meanwhile."""
        with suppress(BadRequest):
            self._library()

    def guides(self, grammar: Grammar, terms: Sequence[Terms]) -> list[Guide]:
        """A guide for each answer. Raises BadRequest that names what is not supported."""
        library = self._library()
        first = self._compiled(grammar, library)
        room = round(grammar.room * library.tokens_per_letter(grammar.text)) + 1
        return [
            Guide(
                first.deep_copy(),
                library.words,
                library.closing,
                ends=np.array([end for end in each.ends if end < self._width], np.int64),
                budget=each.max_tokens,
                room=room,
                mind=grammar.mind,
            )
            for each in terms
        ]

    def _library(self) -> _Library:
        if self._opened is None:
            self._opened = _Library(Words(self._tokenizer, self._width))
        return self._opened

    def _compiled(self, grammar: Grammar, library: _Library) -> LLMatcher:
        from llguidance import LLMatcher, LLParserLimits

        found = self._known.get(grammar.text)
        if found is None:
            limits = LLParserLimits(max_lexer_states=_LEXER_STATES, verbose_errors=False)
            found = LLMatcher(library.tokens, grammar.text, log_level=0, limits=limits)
            if found.is_error():
                raise _refusal(grammar, found.get_error())
            self._known[grammar.text] = found
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(grammar.text)
        return found


class _Library:
    """A model's tokens in the library."""

    def __init__(self, words: Words) -> None:
        self.words = words
        self.closing = Closing(words)
        self.tokens: LLTokenizer = words.library()

    def tokens_per_letter(self, text: str) -> float:
        """How long a text like this one is in tokens."""
        return len(self.words(text)) / len(text)


def _refusal(grammar: Grammar, error: str) -> BadRequest:
    """Which of the request's schemas cannot be compiled, and why."""
    from llguidance import LLMatcher

    for schema in grammar.schemas:
        # As text, which may hold any number.
        alone = LLMatcher.grammar_from_json_schema(json.dumps(schema.with_options()))
        found = LLMatcher.validate_grammar(alone)
        if found:
            return BadRequest(f'Invalid JSON schema - {_in_words(found)} (in parameter "{schema.field}")')
    return BadRequest(f"the form that is asked for cannot be compiled: {_first(error)}")


def _in_words(error: str) -> str:
    keywords, form = _KEYWORDS.search(error), _FORMAT.search(error)
    if keywords is not None:
        names = [name.strip().strip('"') for name in keywords[1].split(",")]
        return f'the "{names[0]}" keyword is not supported'
    if form is not None:
        return f'the "format" {form[1]:.80} is not supported'
    if "oneOf constraints" in error:
        return 'the "oneOf" keyword is supported only for schemas that exclude each other'
    return _first(error)


def _first(error: str) -> str:
    """Its first line; of a pattern's error, which shows the place below that, the pattern and the reason."""
    lines = error.strip().splitlines() or ["it is too complex"]
    if lines[0] == _PATTERN and len(lines) > 1:
        return f'the "pattern" {lines[1].strip():.80} cannot be read: {lines[-1].removeprefix("error: ")}'[:_SHOWN]
    return lines[0][:_SHOWN]
