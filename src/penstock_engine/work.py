"""What a model computes in one step, and the two kinds of model: the contract between models and the serving side.

`penstock_engine.loader` has the functions that open a model directory and give a `Decoder` or an `Encoder`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class Precision(StrEnum):
    """How weights are kept and how exact the arithmetic is.

    int8: weights in 8 bits per output row; KV cache in bf16. bf16: weights as stored in 16 bits.
    fp32: everything in 32 bits, no dynamic quantisation; for tests and exactness, not for speed.
    """

    INT8 = "int8"
    BF16 = "bf16"
    FP32 = "fp32"


@dataclass(frozen=True, slots=True)
class Work:
    """One sequence's part of a step."""

    past: int
    """Tokens of the sequence that are already in the KV cache."""
    tokens: NDArray[np.int64]
    """[n], n >= 1: the new tokens."""
    blocks: NDArray[np.int32]
    """Block table of the sequence, covering at least ceil((past + n) / block_size) blocks."""
    rows: int
    """How many trailing positions to return logits for; 0 is allowed, n at most."""
    adapter: str = ""
    """Name of the adapter that the sequence is computed with; empty: the model as it is."""


class Decoder(Protocol):
    """A causal language model over a paged KV cache. Not thread safe: one caller at a time."""

    @property
    def block_size(self) -> int:
        """Tokens per KV block."""

    @property
    def num_blocks(self) -> int:
        """Blocks in the KV cache; block ids are 0 to num_blocks - 1."""

    @property
    def vocab_size(self) -> int:
        """Columns of the logits."""

    @property
    def context_length(self) -> int:
        """Tokens that a sequence may have, prompt and answer together."""

    def step(self, work: Sequence[Work]) -> NDArray[np.float32]:
        """Write the new tokens' keys and values into their blocks and return logits [sum(rows), vocab_size].

        Rows come in the order of `work`. The array is valid until the next step. Raises ValueError on work that does
        not fit its block table, names unknown blocks or token ids, and on an empty step.
        """


class Encoder(Protocol):
    """A text embedding model. Not thread safe: one caller at a time."""

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""

    @property
    def context_length(self) -> int:
        """Tokens that one input may have."""

    def embed(self, batch: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Token ids, one array per input -> embeddings [len(batch), dimensions]; some are scaled to length 1."""
