"""A model's tokens as the library of grammars knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock_engine.refusal import BadRequest

if TYPE_CHECKING:
    from llguidance import LLTokenizer

    from penstock_engine.tokenizer import Tokenizer

_BEFORE = "\x02"
"""Text is tokenized after this, so that no tokenizer puts its own space in front."""


class Words:
    """What llguidance asks of a tokenizer: `tokens`, special ids and a way to tokenize. Begins with no work done."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Tokenizer, width: int) -> None:
        """`width`: columns of the logits; those that are no token are never allowed. Raises BadRequest."""
        pieces = tokenizer.pieces
        if pieces is None or not tokenizer.ends or tokenizer.end >= width:
            raise BadRequest(
                "this model's tokenizer is of a kind whose answers cannot be held to a form: "
                '"tools" and "response_format" are not supported for it'
            )
        self._tokenizer = tokenizer
        known = list(enumerate(pieces[:width]))
        self.special_token_ids = sorted(id_ for id_ in tokenizer.special if id_ < width)
        self.tokens = [tokenizer.piece(id_) if id_ in tokenizer.special else piece for id_, piece in known]
        self.tokens += [b""] * (width - len(known))
        self._ids = {piece: id_ for id_, piece in known if piece}
        self._longest = max(map(len, self._ids))
        self.eos_token_id = tokenizer.end
        self.bos_token_id = None
        self._before = len(tokenizer.encode(_BEFORE, special=False))

    def __call__(self, text: str) -> list[int]:
        """Tokens whose bytes are the text."""
        found: list[int] = self._tokenizer.encode(_BEFORE + text, special=False)[self._before :].tolist()
        told = b"".join(self.tokens[id_] for id_ in found if id_ < len(self.tokens))
        return found if told == text.encode() else self._greedy(text.encode())

    def _greedy(self, text: bytes) -> list[int]:
        """Always the longest token that fits: for tokenizers that change what they read."""
        found: list[int] = []
        at = 0
        while at < len(text):
            for end in range(min(len(text), at + self._longest), at, -1):
                if (id_ := self._ids.get(text[at:end])) is not None:
                    found.append(id_)
                    at = end
                    break
            else:
                at += 1
        return found

    def library(self) -> LLTokenizer:
        """The library's own structure over these, which takes a moment to build."""
        from llguidance import LLTokenizer

        return LLTokenizer(self)
