"""The serving process: loads a model, listens, drains, ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import stat
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import uvloop
from aiohttp import web

from penstock_engine.errors import UnsupportedModel
from penstock_engine.grammars import Grammars
from penstock_engine.loader import load_decoder, load_encoder, read_plan
from penstock_engine.metrics import Metrics
from penstock_engine.server import Server
from penstock_engine.service import EmbeddingService, Limits, Service, Task, TextService, read_about, read_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from penstock_engine.work import Precision

_log = logging.getLogger("penstock_engine")
_SHUTDOWN_SECONDS = 2.0
_SWITCH_SECONDS = 0.0005
"""The step thread comes back from the model and waits for whoever parses a request: so long at most, not for 5 ms."""
_FATAL = 70
"""Exit status when the model's computation keeps failing."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a Unix socket, or a port of 127.0.0.1."""

    socket: Path | None
    port: int | None


@dataclass(frozen=True, slots=True)
class Worker:
    """What to serve, and how much of it at once."""

    model: Path
    cache: Path
    precision: Precision
    name: str
    task: Task
    kv_bytes: int
    limits: Limits
    drain_seconds: float
    adapters: dict[str, Path] = field(default_factory=dict)
    """Folders of LoRA adapters by the names that requests choose them by."""
    adaptable: bool = False
    """Leave room for adapters that come while it runs."""
    room: int = 0
    """What all their ranks are together at most, and are reckoned with from the start; 0: as it comes."""

    def run(self, address: Address) -> None:
        """Serve until SIGTERM or SIGINT, then drain. Raises EngineError if the model cannot be opened."""
        metrics = Metrics()
        service = self._open(metrics)
        gc.collect()
        gc.freeze()
        sys.setswitchinterval(_SWITCH_SECONDS)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._listen(Server(service, metrics), address))

    def _open(self, metrics: Metrics) -> Service:
        tokenizer, template = read_tokenizer(self.model)
        if self.task is Task.EMBEDDINGS:
            if self.adapters or self.adaptable:
                raise UnsupportedModel("adapters of embedding models are not supported")
            encoder = load_encoder(self.model, self.cache, self.precision, _log.info)
            about = read_about(self.model, self.name, self.task, encoder.context_length)
            vocab_size = read_plan(self.model).vocab
            return EmbeddingService(
                about,
                encoder=encoder,
                tokenizer=tokenizer,
                vocab_size=vocab_size,
                metrics=metrics,
                limits=self.limits,
            )
        grammars = Grammars(tokenizer, read_plan(self.model).width)
        grammars.thread.submit(grammars.prepare)  # while the kernels are compiled
        decoder = load_decoder(
            self.model,
            self.cache,
            self.precision,
            self.kv_bytes,
            _log.info,
            adapters=self.adapters,
            adaptable=self.adaptable,
            room=self.room,
        )
        about = read_about(self.model, self.name, self.task, decoder.context_length)
        return TextService(
            about,
            decoder=decoder,
            tokenizer=tokenizer,
            template=template,
            metrics=metrics,
            limits=self.limits,
            on_fatal=_give_up,
            adaptable=decoder if decoder.adaptable else None,
            precision=self.precision,
            grammars=grammars,
        )

    async def _listen(self, server: Server, address: Address) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        runner = web.AppRunner(
            server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await runner.setup()
        site = _site(runner, address)
        await site.start()
        _log.info("serving %s on %s", self.name, site.name)
        await stop.wait()
        _log.info("draining")
        ended = await server.drain(self.drain_seconds)
        await runner.cleanup()
        _log.info("stopped" if ended else "stopped; what was still running was cancelled")


def _site(runner: web.AppRunner, address: Address) -> web.BaseSite:
    if address.socket is None:
        return web.TCPSite(runner, "127.0.0.1", address.port)
    if address.socket.exists() and stat.S_ISSOCK(address.socket.stat().st_mode):
        address.socket.unlink()
    return web.UnixSite(runner, str(address.socket))


def _give_up() -> None:
    _log.critical("giving up: the model's computation keeps failing")
    logging.shutdown()
    os._exit(_FATAL)
