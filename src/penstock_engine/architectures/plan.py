"""What is known of a model from its configuration alone, and how to make its graph."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock_engine.graph import Node
    from penstock_engine.weights import Weights


class Kind(StrEnum):
    """What a model gives back: the next token's logits, or a vector for a text."""

    DECODER = "decoder"
    ENCODER = "encoder"


@dataclass(frozen=True, slots=True)
class Plan:
    """A model that this engine can compute."""

    kind: Kind
    context: int
    """Tokens that one sequence or text may have."""
    width: int
    """Of the output: the vocabulary of a decoder, the dimensions of an encoder."""
    vocab: int
    """Token ids are 0 to vocab - 1."""
    build: Callable[[Weights], Node]
    """Raises CheckpointError if a tensor is missing or has another shape than the configuration says."""
    ignorable: tuple[str, ...] = ()
    """Patterns of tensor names that may lie in a checkpoint without taking part in the maths."""
    normalised: bool = False
    """Whether an encoder's vectors are scaled to length 1."""
    adaptable: bool = False
    """Whether `build` has inputs for adapters where the weights ask for them."""
