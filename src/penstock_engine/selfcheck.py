"""Checks at load that a built model gives sane numbers on this machine, and warms its kernels up on the way.

A version may carry `reference_logits.json`, written where the model was made:

    {"dtype": "float32", "prompts": [{"tokens": [1, 2, 3], "top": [[id, logprob], ...]}]}

`top`: the 20 most probable next tokens after the prompt with their natural-log probabilities, most probable first.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from penstock_engine.errors import CheckpointError, SelfCheckFailed
from penstock_engine.work import Precision, Work

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from penstock_engine.work import Decoder, Encoder

REFERENCE = "reference_logits.json"
REFERENCE_BYTES = 1 << 20
CHECK_TOKENS = 48
FIRST_CHUNK = 17
"""An odd length, so that the second chunk begins inside a block."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What still counts as the same numbers."""

    cosine: float
    """The least cosine between two rows of logits that should be the same."""
    top: float
    """The most that the mean absolute difference of a prompt's top log probabilities may be."""


TOLERANCES = {
    Precision.FP32: Tolerance(0.99999, 0.01),
    Precision.BF16: Tolerance(0.99, 0.15),
    Precision.INT8: Tolerance(0.98, 0.35),
}


@dataclass(frozen=True, slots=True)
class ReferencePrompt:
    """A prompt, and the most probable next tokens with their log probabilities."""

    tokens: NDArray[np.int64]
    ids: NDArray[np.int64]
    logprobs: NDArray[np.float64]


def check_decoder(decoder: Decoder, precision: Precision) -> None:
    """One prompt whole and in two chunks must give the same, finite logits. Raises SelfCheckFailed."""
    half = decoder.num_blocks // 2
    count = min(CHECK_TOKENS, decoder.context_length, half * decoder.block_size)
    if count <= FIRST_CHUNK:
        return  # a cache or context this small has no room for two copies of a prompt worth checking
    tokens = np.random.default_rng(0).integers(0, decoder.vocab_size, count)
    used, rows = -(-count // decoder.block_size), count - FIRST_CHUNK
    here, there = np.arange(used, dtype=np.int32), np.arange(half, half + used, dtype=np.int32)
    whole = np.array(decoder.step([Work(0, tokens, here, rows)]))
    decoder.step([Work(0, tokens[:FIRST_CHUNK], there, 0)])
    chunked = decoder.step([Work(FIRST_CHUNK, tokens[FIRST_CHUNK:], there, rows)])
    if not (np.isfinite(whole).all() and np.isfinite(chunked).all()):
        raise SelfCheckFailed("the model gives logits that are not finite numbers")
    # the median: where experts are chosen, a rounding may choose another one for a token or two
    cosine = float(np.median([_cosine(one, other) for one, other in zip(whole, chunked, strict=True)]))
    if cosine < TOLERANCES[precision].cosine:
        raise SelfCheckFailed(f"a prompt in two parts gives other logits than in one: cosine {cosine:.4f}")


def check_adapters(
    decoder: Decoder,
    precision: Precision,
    names: list[str],
    blocks: Sequence[int] | None = None,
    most: int = CHECK_TOKENS,
) -> None:
    """A prompt with each adapter alone and with all of them side by side must give the same, finite logits.

    `blocks` are those that may be written to: one for the model as it is and one for each adapter, or all there are;
    None while nothing else is computed. `most`: tokens of the prompt. Raises SelfCheckFailed.
    """
    count = min(most, decoder.context_length, decoder.block_size)
    tokens = np.random.default_rng(0).integers(0, decoder.vocab_size, count)
    beside = ["", *names][: decoder.num_blocks]
    free = range(len(beside)) if blocks is None else blocks
    places = zip(free, beside, strict=True)
    work = [Work(0, tokens, np.array([block], np.int32), 1, adapter=name) for block, name in places]
    together = np.array(decoder.step(work))
    for name, row, alone in zip(beside, together, ([each] for each in work), strict=True):
        found = decoder.step(alone)[0]
        if not (np.isfinite(row).all() and np.isfinite(found).all()):
            raise SelfCheckFailed(f"adapter {name!r:.100} gives logits that are not finite numbers")
        if (cosine := _cosine(row, found)) < TOLERANCES[precision].cosine:
            raise SelfCheckFailed(f"adapter {name!r:.100} gives other logits beside others: cosine {cosine:.4f}")


def check_encoder(encoder: Encoder, precision: Precision) -> None:
    """A short text alone and padded beside a longer one must give the same, finite vector. Raises SelfCheckFailed."""
    long = np.ones(min(CHECK_TOKENS, encoder.context_length), np.int64)
    short = long[: max(1, long.size // 3)]
    alone, padded = encoder.embed([short])[0], encoder.embed([short, long])[0]
    if not (np.isfinite(alone).all() and np.isfinite(padded).all()):
        raise SelfCheckFailed("the model gives vectors that are not finite numbers")
    if (cosine := _cosine(alone, padded)) < TOLERANCES[precision].cosine:
        raise SelfCheckFailed(f"a text gives another vector beside a longer one: cosine {cosine:.4f}")


def check_reference(decoder: Decoder, precision: Precision, prompts: list[ReferencePrompt]) -> None:
    """Compare with what the model gave where it was made. Raises SelfCheckFailed with the worst difference."""
    for number, prompt in enumerate(prompts):
        blocks = np.arange(-(-prompt.tokens.size // decoder.block_size), dtype=np.int32)
        if max(prompt.tokens.max(), prompt.ids.max()) >= decoder.vocab_size:
            raise CheckpointError(f"{REFERENCE}: prompt {number} has token ids outside of the vocabulary")
        if blocks.size > decoder.num_blocks or prompt.tokens.size > decoder.context_length:
            raise CheckpointError(f"{REFERENCE}: prompt {number} is longer than the context or the KV cache")
        row = decoder.step([Work(0, prompt.tokens, blocks, 1)])[0].astype(np.float64)
        found = row[prompt.ids] - row.max() - np.log(np.exp(row - row.max()).sum())
        difference = float(np.abs(found - prompt.logprobs).mean())
        if not difference <= TOLERANCES[precision].top:  # so that NaN fails too
            raise SelfCheckFailed(
                f"prompt {number} of {REFERENCE} gives other log probabilities: they differ by {difference:.3f} on "
                f"average, {TOLERANCES[precision].top} is allowed in {precision}"
            )


def read_reference(path: Path) -> list[ReferencePrompt]:
    """Raises CheckpointError if the file is not in the format above."""
    try:
        if path.stat().st_size > REFERENCE_BYTES:
            raise CheckpointError(f"{REFERENCE} is larger than {REFERENCE_BYTES} bytes")
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{REFERENCE} cannot be read: {error!s:.120}") from error
    prompts = content.get("prompts") if isinstance(content, dict) else None
    if not isinstance(prompts, list):
        raise CheckpointError(f"{REFERENCE} has no list of prompts")
    return [_prompt(number, item) for number, item in enumerate(prompts)]


def _prompt(number: int, item: object) -> ReferencePrompt:
    tokens, top = (item.get("tokens"), item.get("top")) if isinstance(item, dict) else (None, None)
    pairs = top if isinstance(top, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in top) else []  # noqa: PLR2004 - id and log probability
    ids = [pair[0] for pair in pairs]
    if not _are_ids(tokens) or not _are_ids(ids) or not all(type(pair[1]) in {int, float} for pair in pairs):
        raise CheckpointError(f"{REFERENCE}: prompt {number} must have tokens and top, a list of [id, log probability]")
    return ReferencePrompt(np.array(tokens), np.array(ids), np.array([pair[1] for pair in pairs], np.float64))


def _are_ids(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(item) is int and 0 <= item < 1 << 31 for item in value)


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b) / max(math.sqrt(float(a @ a) * float(b @ b)), sys.float_info.min)
