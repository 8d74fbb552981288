"""Conversations as token ids, with labels on what the guide says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from vocabulary import BEGIN, END, PAD

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

IGNORED = -100
Encoded = tuple[list[int], list[int]]


class Chats:
    """Encodes conversations as the chat template does; the labels of everything but answers are IGNORED."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._text = tokenizer.backend_tokenizer
        self._begin, self._end, self._pad = (tokenizer.convert_tokens_to_ids(mark) for mark in (BEGIN, END, PAD))
        self._system, self._user, self._assistant = (
            tokenizer.convert_tokens_to_ids(f"<|{role}|>") for role in ("system", "user", "assistant")
        )

    def prompt(self, question: str) -> list[int]:
        """The ids of one question, ready to be answered."""
        return [self._begin, self._user, *self._ids(question), self._end, self._assistant]

    def encode(self, turns: list[tuple[str, str]], system: str | None = None) -> Encoded:
        """Ids and labels of a conversation of questions and answers."""
        tokens = [self._begin]
        if system is not None:
            tokens += [self._system, *self._ids(system), self._end]
        labels = [IGNORED] * len(tokens)
        for question, answer in turns:
            asked = [self._user, *self._ids(question), self._end, self._assistant]
            said = [*self._ids(answer), self._end]
            tokens += asked + said
            labels += [IGNORED] * len(asked) + said
        return tokens, labels

    def batch(self, encoded: list[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and labels [conversations, longest], padded on the right."""
        longest = max(len(tokens) for tokens, _ in encoded)
        tokens = [ids + [self._pad] * (longest - len(ids)) for ids, _ in encoded]
        labels = [ids + [IGNORED] * (longest - len(ids)) for _, ids in encoded]
        return torch.tensor(tokens), torch.tensor(labels)

    def _ids(self, text: str) -> list[int]:
        return self._text.encode(text.strip(), add_special_tokens=False).ids
