"""A model's own tokenizer, read from the files that transformers writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer as Library

from penstock_engine.detokenizer import ByteDetokenizer, Detokenizer, MarkedDetokenizer, WindowDetokenizer
from penstock_engine.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from penstock_engine.checkpoint import ModelFolder

_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
_CONTEXT_TOKENS = 6


class Tokenizer:
    """Text to tokens and back, with the ids and names of special tokens.

    `ends` are the tokens that end an answer; `names` are the special tokens that templates use (`bos_token`, ...).
    `special` are the tokens that are no text, `special_ids` the same by what they are called; `pieces` are the bytes of
    every token, empty for special ones, None where tokens are not bytes.
    """

    def __init__(self, folder: ModelFolder) -> None:
        """Raises CheckpointError if there is no tokenizer.json, or it is broken."""
        source = find(folder, "tokenizer.json")
        if source is None:
            raise CheckpointError("the model has no tokenizer.json: this engine reads no other tokenizer format")
        try:
            self._library = Library.from_file(str(source))
        except Exception as error:  # noqa: BLE001 - the library raises the bare class
            raise CheckpointError(f"tokenizer.json cannot be read: {error}") from None
        self._library.no_padding()
        self._library.no_truncation()
        self.config = read_json(find(folder, "tokenizer_config.json"))
        self.vocab_size = self._library.get_vocab_size(with_added_tokens=True)
        self.names = _special_names(self.config)
        self.ends = self._end_tokens(folder)
        self._bos = self._missing_bos()
        added = self._library.get_added_tokens_decoder()
        self.special = frozenset(id_ for id_, token in added.items() if token.special)
        self.special_ids = {token.content: id_ for id_, token in added.items() if token.special}
        self.pieces, self._strip = self._byte_pieces()

    def encode(self, text: str, *, special: bool) -> NDArray[np.int64]:
        """Tokens of a text, with the model's own begin and end tokens if `special`. Lets other threads run."""
        return self.encode_all([text], special=special)[0]

    def encode_all(self, texts: Sequence[str], *, special: bool) -> list[NDArray[np.int64]]:
        """`encode` for several texts at once."""
        found = []
        for encoding in self._library.encode_batch_fast(list(texts), add_special_tokens=special):
            ids = encoding.ids
            if special and self._bos is not None and ids[:1] != [self._bos]:
                ids = [self._bos, *ids]
            found.append(np.array(ids, np.int64))
        return found

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens, special ones left out."""
        return self._library.decode(list(tokens), skip_special_tokens=True)

    def detokenizer(self, before: NDArray[np.int64] | None, marks: Mapping[int, str] | None = None) -> Detokenizer:
        """For one answer. `before`: the prompt that the answer's text continues; None if it stands for itself.

        `marks` are special tokens that are to be read, with their text.
        """
        made: Detokenizer
        if self.pieces is not None:
            made = ByteDetokenizer(self.pieces, strip=self._strip and before is None)
        else:
            made = WindowDetokenizer(self.decode, [] if before is None else before[-_CONTEXT_TOKENS:].tolist())
        return MarkedDetokenizer(made, marks) if marks else made

    def piece(self, token: int) -> bytes:
        """The bytes of one token, special ones by their name; what log probabilities show."""
        if self.pieces is not None and token < len(self.pieces) and token not in self.special:
            return self.pieces[token]
        if token in self.special or self.pieces is not None:
            return (self._library.id_to_token(token) or "").encode()
        return self._library.decode([token], skip_special_tokens=False).encode()

    def ids_of(self, names: Sequence[str]) -> frozenset[int]:
        """Tokens by their names; those that the tokenizer does not know are left out."""
        found = (self._library.token_to_id(name) for name in names)
        return frozenset(id_ for id_ in found if id_ is not None)

    @property
    def end(self) -> int:
        """The token that ends an answer, of several the one that the model's authors call so."""
        named = self._library.token_to_id(self.names.get("eos_token", ""))
        return named if named in self.ends else min(self.ends)

    def id_of(self, token: str) -> int | None:
        """The id of a token by what it is called in tokenizer.json."""
        found: int | None = self._library.token_to_id(token)
        return found

    def _end_tokens(self, folder: ModelFolder) -> frozenset[int]:
        """End tokens of all places that name any: a chat model's generation_config often knows one more."""
        ends: set[int] = set()
        for name in ("generation_config.json", "config.json"):
            value = read_json(find(folder, name)).get("eos_token_id")
            ends.update(value if isinstance(value, list) else [] if value is None else [value])
        named = self._library.token_to_id(self.names.get("eos_token", ""))
        return frozenset(ends if named is None else ends | {named})

    def _missing_bos(self) -> int | None:
        """The begin token if the configuration wants one that tokenizer.json alone does not add.

        Only Llama's slow tokenizers are known to mean the flag that way.
        """
        if not self.config.get("add_bos_token") or not str(self.config.get("tokenizer_class", "")).startswith("Llama"):
            return None
        return self._library.token_to_id(self.names.get("bos_token", ""))

    def _byte_pieces(self) -> tuple[list[bytes] | None, bool]:
        """The bytes of every token, and whether a text's first space is left out; None where tokens are not bytes."""
        kinds = _decoder_kinds(json.loads(self._library.to_str()).get("decoder"))
        tokens = [self._library.id_to_token(id_) or "" for id_ in range(self.vocab_size)]
        if kinds == ["ByteLevel"]:
            letters = _byte_letters()
            pieces = [_level_bytes(token, letters) for token in tokens]
        elif kinds in (["Replace", "ByteFallback", "Fuse"], ["Replace", "ByteFallback", "Fuse", "Strip"]):
            pieces = [_fallback_bytes(token) for token in tokens]
        else:
            return None, False
        for id_ in self.special:
            pieces[id_] = b""
        return pieces, kinds[-1] == "Strip"


def find(folder: ModelFolder, name: str) -> Path | None:
    """A file that belongs to the tokenizer or to the weights; which of the two folders has it depends on the writer."""
    return next((path for place in (folder.tokenizer, folder.weights) if (path := place / name).is_file()), None)


def read_json(path: Path | None) -> dict[str, Any]:
    """An object from a file; empty if there is no such file. Raises CheckpointError on anything else."""
    if path is None:
        return {}
    try:
        value = json.loads(path.read_text())
    except ValueError as error:
        raise CheckpointError(f"{path.name} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path.name} is not a JSON object")
    return value


def _special_names(config: dict[str, Any]) -> dict[str, str]:
    """`bos_token` and its like, which are written as strings or as objects with their content."""
    names = {}
    for key, value in config.items():
        content = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(content, str):
            names[key] = content
    return names


def _decoder_kinds(decoder: dict[str, Any] | None) -> list[str]:
    """Names of the steps of a tokenizer.json's decoder; Replace and Strip count only in their usual form."""
    if decoder is None:
        return []
    kinds = []
    for step in decoder.get("decoders", [decoder]):
        usual = {
            "Replace": step.get("pattern") == {"String": _SPACE} and step.get("content") == " ",
            "Strip": (step.get("content"), step.get("start"), step.get("stop")) == (" ", 1, 0),
        }.get(step.get("type"), True)
        kinds.append(step["type"] if usual else "unusual")
    return kinds


def _byte_letters() -> dict[str, int]:
    """The letters with which byte-level tokenizers write bytes: printable ones stand for themselves."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(0x100) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + index): byte for index, byte in enumerate(rest)}


def _level_bytes(token: str, letters: dict[str, int]) -> bytes:
    """A byte-level token's bytes; added tokens may be written as they are."""
    values = [letters.get(letter) for letter in token]
    return token.encode() if None in values else bytes(value for value in values if value is not None)


def _fallback_bytes(token: str) -> bytes:
    """A token's bytes where single bytes are written <0xAB> and a space is an underline of its own."""
    if len(token) == len("<0xAB>") and token.startswith("<0x") and token.endswith(">"):
        try:
            return bytes.fromhex(token[3:5])
        except ValueError:
            pass
    return token.replace(_SPACE, " ").encode()
