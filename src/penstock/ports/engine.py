"""Inference engines: how one is launched, and how it is spoken to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from penstock.domain.estimate import Speed
from penstock.domain.model import ModelFacts, Precision, Task
from penstock.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class Launch:
    """One process to run, `command`, logging to `log`.

    It gets `environment`, and of the server's own variables those that every program needs, and those whose names begin
    with one of `inherits`. `stdin_watch`: the process ends by itself when its standard input closes. `device` is the
    name of the device that it is to run on; empty: wherever it likes. `sleeps` is the address of an
    engine that can be put to sleep; empty: it cannot.
    """

    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    log: Path
    stdin_watch: bool = False
    device: str = ""
    inherits: tuple[str, ...] = ()
    sleeps: str = ""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a replica takes: memory in bytes, and how many requests run and wait in it, over so many tokens of KV cache.

    `memory` includes the KV cache; `kv_tokens` is 0 for models that keep none.
    """

    memory: int
    max_running: int
    max_queue: int
    kv_tokens: int


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What is to be served. `model` is a directory of the version's files, `cache` one that the engine may write to.

    With `room` for LoRA adapters whose ranks are together so much: they are loaded while it runs.
    """

    model: Path
    cache: Path
    facts: ModelFacts
    served_name: str
    precision: Precision
    needs: Needs
    environment: tuple[tuple[str, str], ...] = field(default=())
    room: int = 0


class EngineRecipe(Protocol):
    """How one kind of engine is built and run. Starts nothing itself."""

    def engine(self, facts: ModelFacts, precision: Precision) -> str:
        """Name and version of the engine that serves the model: equal ones, comparable measurements."""
        ...

    def refusal(self, facts: ModelFacts, precision: Precision) -> str:
        """Why the model cannot be served in that precision here, without a full stop; empty if it can."""
        ...

    def runs_on(self, facts: ModelFacts, precision: Precision) -> str:
        """The kind of device (`Device.kind`) that the model runs on in that precision."""
        ...

    def precision(self, facts: ModelFacts) -> Precision:
        """The precision used when none is asked for."""
        ...

    def needs(self, facts: ModelFacts, precision: Precision, room: int = 0) -> Needs:
        """What a replica will take, with `room` for adapters."""
        ...

    def adapts(self, facts: ModelFacts) -> bool:
        """Whether it serves LoRA adapters of such a model."""
        ...

    def room(self, facts: ModelFacts, precision: Precision, ranks: Sequence[int]) -> int:
        """The room that an engine of the model has for LoRA adapters of these ranks; 0 where there are none.

        It costs memory and time, whether it is used or not: what is measured holds for engines with as much.
        """
        ...

    def build(self, spec: EngineSpec, log: Path) -> Launch:
        """A process that prepares the version once (converts, quantises, caches) and ends with status 0.

        It is safe to repeat. With another status, the last line of its log is the reason, for people.
        """
        ...

    def is_built(self, spec: EngineSpec) -> bool:
        """Whether `mark_built` was called for the same model, precision and engine version, in that cache."""
        ...

    def mark_built(self, spec: EngineSpec) -> None:
        """Notes in the cache that the build ended well. Safe to repeat."""
        ...

    def address(self, spec: EngineSpec, place: str) -> str:
        """How the model's engine at a place of the cluster ("unix:PATH" or "http://127.0.0.1:PORT") is spoken to."""
        ...

    def serve(self, spec: EngineSpec, address: str, log: Path) -> Launch:
        """A process that serves at `address` until SIGTERM, and drains then.

        Raises EngineFailed with the reason if the files say something that the engine cannot do.
        """
        ...


class Gauge(Protocol):
    """How fast devices are, roughly, for estimates."""

    async def speed(self, kind: str) -> Speed:
        """The speed of one device of a kind (`Device.kind`); measured in a few seconds at the first call.

        Raises EngineFailed if that does not work.
        """
        ...


class EngineCanceller(Protocol):
    """What ends a request in an engine."""

    async def cancel(self, address: str, request_id: str) -> Usage | None:
        """Ends a running request; what it has used, or None if the engine does not know it. Safe to repeat.

        UNTOLD if the engine ends it, and does not tell what it has used.
        """
        ...


class EngineClient(EngineCanceller, Protocol):
    """Control calls to a running engine; the data plane's relay is the gateway's own port."""

    async def healthy(self, address: str) -> bool:
        """Whether the engine at `address` serves now. Never raises."""
        ...

    async def kv_tokens(self, address: str) -> int:
        """Tokens that its KV cache holds, 0 if it keeps none or does not tell. Raises EngineFailed if it is gone."""
        ...

    async def load_adapter(self, address: str, name: str, folder: Path) -> str:
        """Has the LoRA adapter in a folder loaded under that name; returns why it cannot be, empty if it is there.

        It ends with the engine. Safe to repeat. Raises EngineFailed if it may be possible later.
        """
        ...

    async def drop_adapter(self, address: str, name: str) -> None:
        """Has it dropped. Safe to repeat. Raises EngineFailed, also while requests run with it."""
        ...

    async def measure(
        self, address: str, task: Task, tokens: Sequence[int], tokens_out: int, told: Callable[[int], None]
    ) -> None:
        """Runs one request with that prompt to its full length.

        Whenever more of the answer has come, `told` is called with its tokens so far; for embeddings once, with 0.
        Cancelled, it ends the request. Raises EngineFailed.
        """
        ...
