"""An endpoint's build: everything that takes long, done once and kept in the cache, with a line for each stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock_engine.architectures.plan import Kind
from penstock_engine.errors import UnsupportedModel
from penstock_engine.loader import load_decoder, load_encoder, read_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from penstock_engine.work import Precision

CHECK_KV_BYTES = 256 << 20
"""KV cache of the compiled check; memory that no block is written to is never taken."""


def build(
    model: Path,
    cache: Path,
    precision: Precision,
    log: Callable[[str], None],
    *,
    adapters: Mapping[str, Path] | None = None,
) -> None:
    """Convert the weights into the cache, compile once and check. Safe to repeat: what is in the cache is reused.

    Raises CheckpointError, UnsupportedModel, SelfCheckFailed or EngineError; their messages are for the model's owner.
    """
    plan = read_plan(model)
    log(f"{plan.kind.value}, context of {plan.context} tokens, vocabulary of {plan.vocab}")
    if plan.kind is Kind.DECODER:
        load_decoder(model, cache, precision, CHECK_KV_BYTES, log, adapters=adapters)
    else:
        if adapters:
            raise UnsupportedModel("adapters of embedding models are not supported")
        load_encoder(model, cache, precision, log)
    log("built")
