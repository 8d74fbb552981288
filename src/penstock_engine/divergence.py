"""How far 8-bit weights lead away from 16-bit ones: measured once, when the weights were converted, and bounded."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from penstock_engine.architectures.plan import Kind
from penstock_engine.errors import SelfCheckFailed
from penstock_engine.work import Work

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from penstock_engine.work import Decoder, Encoder

NOTE = "divergence.json"
"""In the folder of the cache entry that it was measured for."""
PROBE_TOKENS = 48
PROBE_TEXTS = (5, 17, 33, 48)
"""Tokens of the texts that encoders are asked for."""
LEAST_COSINE = {Kind.DECODER: 0.95, Kind.ENCODER: 0.98}
"""Between rows of logits, and vectors, that should be the same; the median of the probe's."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """The median cosine of the probe's rows, and the mean Kullback-Leibler divergence of what a decoder says next."""

    cosine: float
    nats: float

    def __str__(self) -> str:
        """For the log."""
        return f"median cosine {self.cosine:.5f}, {self.nats:.5f} nats"


def probe_decoder(decoder: Decoder) -> NDArray[np.float32]:
    """Logits of every place of a made-up prompt: [tokens, vocabulary]."""
    room = decoder.num_blocks * decoder.block_size
    count = min(PROBE_TOKENS, decoder.context_length, room)
    tokens = np.random.default_rng(1).integers(0, decoder.vocab_size, count)
    blocks = np.arange(-(-count // decoder.block_size), dtype=np.int32)
    return np.array(decoder.step([Work(0, tokens, blocks, count)]))


def probe_encoder(encoder: Encoder, vocab: int) -> NDArray[np.float32]:
    """Vectors of made-up texts: [texts, dimensions]."""
    numbers = np.random.default_rng(1)
    texts = [numbers.integers(0, vocab, min(length, encoder.context_length)) for length in PROBE_TEXTS]
    return encoder.embed(texts)


def between(exact: NDArray[np.float32], found: NDArray[np.float32], kind: Kind) -> Divergence:
    """Of rows that should be the same."""
    one, other = exact.astype(np.float64), found.astype(np.float64)
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    cosines = (one * other).sum(-1) / np.maximum(lengths, np.finfo(np.float64).tiny)
    if kind is Kind.ENCODER:
        return Divergence(float(np.median(cosines)), 0.0)
    here, there = _log_softmax(one), _log_softmax(other)
    return Divergence(float(np.median(cosines)), float((np.exp(here) * (here - there)).sum(-1).mean()))


def check_divergence(divergence: Divergence, kind: Kind) -> None:
    """Raises SelfCheckFailed if 8 bits are too few for this model."""
    least = LEAST_COSINE[kind]
    if not divergence.cosine >= least:  # written so that NaN fails
        raise SelfCheckFailed(
            f"8-bit weights lead this model too far from its own: {divergence}, a cosine of {least} is asked for; "
            "serve it in bf16"
        )


def read_note(folder: Path) -> Divergence | None:
    """What was measured for a cache entry; None if nothing was."""
    try:
        note = json.loads((folder / NOTE).read_text("utf-8"))
        return Divergence(float(note["cosine"]), float(note["nats"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_note(folder: Path, divergence: Divergence) -> None:
    """Keep it, so that the next load need not measure."""
    part = folder / f"{NOTE}.part"
    part.write_text(json.dumps(asdict(divergence)), "utf-8")
    part.rename(folder / NOTE)


def _log_softmax(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = rows - rows.max(-1, keepdims=True)
    found: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return found
