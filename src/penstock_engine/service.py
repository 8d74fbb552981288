"""What the server serves: one model and the loop that computes it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from penstock_engine import chat_template
from penstock_engine.adapters import Adapters
from penstock_engine.checkpoint import Checkpoint, ModelFolder
from penstock_engine.embedding_loop import EmbeddingLoop
from penstock_engine.engine_loop import EngineLoop
from penstock_engine.grammars import Grammars
from penstock_engine.intake import EmbeddingIntake, Intake
from penstock_engine.refusal import BadRequest
from penstock_engine.tokenizer import Tokenizer
from penstock_engine.work import Precision

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock_engine.adapter import Adapter
    from penstock_engine.adapters import AdaptableDecoder
    from penstock_engine.metrics import Metrics
    from penstock_engine.work import Decoder, Encoder

_TOKENIZE_THREADS = 2


class Task(StrEnum):
    """What a model version was registered for."""

    CHAT = "llm/v1/chat"
    COMPLETIONS = "llm/v1/completions"
    EMBEDDINGS = "llm/v1/embeddings"


@dataclass(frozen=True, slots=True)
class About:
    """What `/health` tells of the model."""

    model: str
    task: Task
    architecture: str
    parameters: int
    context_length: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is done at once."""

    max_running: int = 32
    max_queue: int = 256
    prefill_chunk: int = 512


class TextService:
    """A decoder with its tokenizer, template and step thread."""

    def __init__(
        self,
        about: About,
        *,
        decoder: Decoder,
        tokenizer: Tokenizer,
        template: chat_template.ChatTemplate | None,
        metrics: Metrics,
        limits: Limits,
        on_fatal: Callable[[], None],
        adaptable: AdaptableDecoder | None = None,
        precision: Precision = Precision.INT8,
        grammars: Grammars | None = None,
    ) -> None:
        """`adaptable` is the decoder, if it has room for adapters; `precision` is its own."""
        self.about = about
        self.tokenizer = tokenizer
        self.kv_tokens = decoder.num_blocks * decoder.block_size
        context = min(decoder.context_length, self.kv_tokens)
        self.intake = Intake(tokenizer, template, context, decoder.vocab_size)
        self.grammars = grammars or Grammars(tokenizer, decoder.vocab_size)
        self.loop = EngineLoop(
            decoder,
            metrics,
            max_running=limits.max_running,
            max_queue=limits.max_queue,
            prefill_chunk=limits.prefill_chunk,
            on_fatal=on_fatal,
        )
        self.adapters = Adapters(adaptable, self.loop, precision) if adaptable is not None else None
        pool, scheduler = self.loop.pool, self.loop.scheduler
        metrics.watch("kv_blocks", "KV blocks of the cache", lambda: pool.num_blocks)
        metrics.watch("kv_blocks_used", "KV blocks that running sequences hold", lambda: pool.used)
        metrics.watch(
            "preemptions", "Sequences that had to give up their blocks, so far", lambda: scheduler.preemptions
        )

    def adapter(self, name: str) -> Adapter | None:
        """The adapter of that name, None for an empty one. Raises BadRequest if there is none."""
        if not name:
            return None
        found = self.adapters.get(name) if self.adapters is not None else None
        if found is None:
            known = ", ".join(self.adapters.names if self.adapters is not None else ()) or "none"
            raise BadRequest(f"there is no adapter {name!r:.200} here; there are: {known:.400}")
        return found


class EmbeddingService:
    """An encoder with its tokenizer and its thread."""

    kv_tokens = 0

    def __init__(
        self,
        about: About,
        *,
        encoder: Encoder,
        tokenizer: Tokenizer,
        vocab_size: int,
        metrics: Metrics,
        limits: Limits,
    ) -> None:
        self.about = about
        self.intake = EmbeddingIntake(tokenizer, encoder.context_length, vocab_size)
        self.loop = EmbeddingLoop(encoder, metrics, max_queue=limits.max_queue)


Service = TextService | EmbeddingService


def read_about(model: Path, name: str, task: Task, context_length: int) -> About:
    """What the model's files tell. Raises CheckpointError."""
    folder = ModelFolder.open(model)
    config = json.loads((folder.weights / "config.json").read_text())
    names = config.get("architectures") or [config.get("model_type", "unknown")]
    return About(name, task, str(names[0]), Checkpoint(folder).parameters(), context_length)


def read_tokenizer(model: Path) -> tuple[Tokenizer, chat_template.ChatTemplate | None]:
    """A model's tokenizer and its chat template, if it has one. Raises CheckpointError."""
    folder = ModelFolder.open(model)
    tokenizer = Tokenizer(folder)
    return tokenizer, chat_template.load(folder, tokenizer.config, tokenizer.names)


def tokenize_threads() -> ThreadPoolExecutor:
    """Where long requests are parsed and tokenized, so that streams go on meanwhile."""
    return ThreadPoolExecutor(_TOKENIZE_THREADS, "tokenize")
