"""From a model directory to a model that runs: read, convert or map the weights, compile, check."""

from __future__ import annotations

import gc
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from penstock_engine.adapter import read_adapter
from penstock_engine.architectures.plan import Kind, Plan
from penstock_engine.architectures.registry import plan_of
from penstock_engine.architectures.text_head import read_head
from penstock_engine.checkpoint import Checkpoint, ModelFolder
from penstock_engine.config import Config
from penstock_engine.decoder import PagedDecoder
from penstock_engine.divergence import between, check_divergence, probe_decoder, probe_encoder, read_note, write_note
from penstock_engine.encoder import TextEncoder
from penstock_engine.errors import UnsupportedModel
from penstock_engine.fusion import Fusion
from penstock_engine.kernels import Compiled, compile_graph
from penstock_engine.memory import available_memory, give_back_free_memory
from penstock_engine.pages import gather_large_regions
from penstock_engine.selfcheck import (
    REFERENCE,
    check_adapters,
    check_decoder,
    check_encoder,
    check_reference,
    read_reference,
)
from penstock_engine.weight_cache import CacheEntry, EntryWriter, Unkept, WeightCache
from penstock_engine.weights import Weights
from penstock_engine.work import Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from penstock_engine.work import Encoder

    Log = Callable[[str], None]
    Rows = NDArray[np.float32]

SHOWN_NAMES = 3
PROBE_KV_BYTES = 256 << 20
"""Of the model in 16 bits that 8 bits are compared with; memory that no block is written to is never taken."""
TRIAL_BYTES = 4
"""For each parameter of that model: its weights in 16 bits, and the library's copy of them."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A compiled model and what it stands on. `exact`: the probe's rows in 16 bits, if they are to be compared."""

    folder: ModelFolder
    plan: Plan
    checkpoint: Checkpoint
    entry: CacheEntry
    weights: Weights
    compiled: Compiled
    exact: Rows | None

    def drop_pages(self) -> None:
        """The library has its own copy of most weights by now; what it still reads comes back page by page."""
        self.checkpoint.drop_pages()
        self.entry.drop_pages()

    def compare(self, probe: Callable[[], Rows], log: Log) -> None:
        """Keeps, and bounds, how far 8 bits lead from 16. Raises SelfCheckFailed."""
        if self.exact is not None:
            write_note(self.entry.folder, between(self.exact, probe(), self.plan.kind))
        if self.weights.precision is Precision.INT8 and (divergence := read_note(self.entry.folder)) is not None:
            log(f"int8 against bf16: {divergence}")
            check_divergence(divergence, self.plan.kind)


def load_decoder(
    model: Path,
    cache: Path,
    precision: Precision,
    kv_bytes: int,
    log: Log,
    *,
    adapters: Mapping[str, Path] | None = None,
    adaptable: bool = False,
    room: int = 0,
) -> PagedDecoder:
    """Open a causal language model with a KV cache of at most kv_bytes, and LoRA adapters by their names, if any.

    adaptable: with room for adapters that come later. room: see `PagedDecoder`.

    Raises CheckpointError, UnsupportedModel, SelfCheckFailed or EngineError; their messages are for the model's owner.
    """
    opened = _open(model, cache, precision, Kind.DECODER, log, adaptable=adaptable or bool(adapters))
    decoder = PagedDecoder(opened.compiled, opened.plan, kv_bytes, opened.weights.keep, room=room)
    with _stage(log, "checked"):
        check_decoder(decoder, precision)
        if (reference := _reference(opened.folder)) is not None:
            check_reference(decoder, precision, read_reference(reference))
            log(f"log probabilities agree with {REFERENCE}")
        opened.compare(partial(probe_decoder, decoder), log)
    if adapters:
        with _stage(log, "adapted") as note:
            decoder.use(decoder.stack(read_adapter(name, folder) for name, folder in adapters.items()))
            check_adapters(decoder, precision, list(adapters))
            note(f"{len(adapters)} adapters")
    opened.drop_pages()
    with _stage(log, "gathered") as note:
        note(f"{gather_large_regions():,} bytes into huge pages")
    log(f"{decoder.num_blocks} KV blocks of {decoder.block_size} tokens, {decoder.block_bytes:,} bytes each")
    return decoder


def load_encoder(model: Path, cache: Path, precision: Precision, log: Log) -> Encoder:
    """Open a text embedding model. Raises as `load_decoder` does."""
    opened = _open(model, cache, precision, Kind.ENCODER, log)
    encoder = TextEncoder(opened.compiled, opened.plan, opened.weights.keep)
    with _stage(log, "checked"):
        check_encoder(encoder, precision)
        opened.compare(partial(probe_encoder, encoder, opened.plan.vocab), log)
    opened.drop_pages()
    return encoder


def read_plan(model: Path) -> Plan:
    """What a model is, from its configuration alone. Raises CheckpointError or UnsupportedModel."""
    return _plan(ModelFolder.open(model))


def _plan(folder: ModelFolder) -> Plan:
    return plan_of(Config.read(folder.weights / "config.json"), read_head(folder))


def _open(model: Path, cache: Path, precision: Precision, kind: Kind, log: Log, *, adaptable: bool = False) -> _Opened:
    folder = ModelFolder.open(model)
    plan = _plan(folder)
    if plan.kind is not kind:
        raise UnsupportedModel(f"the model is {plan.kind.value}, not {kind.value}: it does not fit this task")
    if adaptable and not plan.adaptable:
        raise UnsupportedModel("adapters of models of this family are not supported: merge them into the base model")
    with _stage(log, "read") as note:
        checkpoint = Checkpoint(folder)
        weight_cache = WeightCache(cache)
        key = weight_cache.key(folder, precision)
        note(f"{checkpoint.parameters():,} parameters, {checkpoint.size():,} bytes")
    fusion = Fusion(cache / "fusion")
    weights_over = partial(Weights, checkpoint, precision, fusion=fusion, adaptable=adaptable)
    entry = weight_cache.entry(key, partial(_convert, checkpoint, plan, weights_over, log))
    exact = None
    if precision is Precision.INT8 and read_note(entry.folder) is None:
        exact = _in_16_bits(plan, checkpoint, fusion, log)
    with _stage(log, "mapped") as note:
        weights = weights_over(entry)
        graph = plan.build(weights)
        note(f"{entry.size:,} bytes of converted weights")
    _refuse_unused(checkpoint, plan)
    with _stage(log, "compiled"):
        compiled = compile_graph(graph, precision)
    return _Opened(folder, plan, checkpoint, entry, weights, compiled, exact)


def _convert(
    checkpoint: Checkpoint, plan: Plan, weights_over: Callable[[EntryWriter], Weights], log: Log, writer: EntryWriter
) -> None:
    """The graph says which weights it needs in which form; it is built again over what was written."""
    with _stage(log, "converted"):
        plan.build(weights_over(writer))
        _refuse_unused(checkpoint, plan)
    checkpoint.drop_pages()
    give_back_free_memory()


def _in_16_bits(plan: Plan, checkpoint: Checkpoint, fusion: Fusion, log: Log) -> Rows | None:
    """The probe's rows of the same model in 16 bits, which is gone again before the one in 8 bits takes memory.

    None, and a line in the log, where there is too little memory for it.
    """
    needed, free = TRIAL_BYTES * checkpoint.parameters(), available_memory()
    if free is not None and needed > free:
        log(f"int8 against bf16: not measured, which needs {needed:,} bytes of memory; {free:,} are free")
        return None
    with _stage(log, "measured in 16 bits"):
        rows = _probe(plan, Weights(checkpoint, Precision.BF16, Unkept(), fusion))
    checkpoint.drop_pages()
    gc.collect()
    give_back_free_memory()
    return rows


def _probe(plan: Plan, weights: Weights) -> Rows:
    compiled = compile_graph(plan.build(weights), Precision.BF16)
    if plan.kind is Kind.ENCODER:
        return probe_encoder(TextEncoder(compiled, plan, weights.keep), plan.vocab)
    return probe_decoder(PagedDecoder(compiled, plan, PROBE_KV_BYTES, weights.keep))


def _refuse_unused(checkpoint: Checkpoint, plan: Plan) -> None:
    """Weights that the graph has no place for mean other maths than the configuration tells."""
    unused = [name for name in checkpoint.unused() if not any(re.fullmatch(each, name) for each in plan.ignorable)]
    if unused:
        shown = ", ".join(f"{name:.100}" for name in unused[:SHOWN_NAMES])
        raise UnsupportedModel(f"{len(unused)} tensors of the checkpoint have no place in this model: {shown}")


def _reference(folder: ModelFolder) -> Path | None:
    """Beside the weights, or in `code/`, where MLflow puts the extra files of a version (`code_paths`)."""
    places = (folder.root, folder.weights, folder.root / "code")
    return next((path for each in places if (path := each / REFERENCE).is_file()), None)


@contextmanager
def _stage(log: Log, name: str) -> Iterator[Callable[[str], None]]:
    """Logs what was done, with the notes taken on the way, and how long it took."""
    notes: list[str] = []
    start = time.perf_counter()
    yield notes.append
    log(f"{name}{''.join(': ' + note for note in notes)} in {time.perf_counter() - start:.2f} s")
