"""The adapters of a running engine: loaded and dropped one at a time, while requests are computed."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from penstock_engine.adapter import read_adapter
from penstock_engine.errors import EngineError
from penstock_engine.refusal import BadRequest, Busy, InUse
from penstock_engine.selfcheck import check_adapters
from penstock_engine.work import Decoder

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping
    from pathlib import Path

    from penstock_engine.adapter import Adapter
    from penstock_engine.deltas import Stack
    from penstock_engine.engine_loop import EngineLoop
    from penstock_engine.work import Precision

_log = logging.getLogger(__name__)
_CHECK_TOKENS = 8
"""Of the prompt that a new adapter is checked with: others wait for the three steps that this takes."""


class AdaptableDecoder(Decoder, Protocol):
    """A decoder with room for adapters."""

    @property
    def adapters(self) -> Mapping[str, Adapter]:
        """Those that sequences can be computed with, by name."""

    def stack(self, adapters: Iterable[Adapter]) -> Stack:
        """What `use` takes. Safe in any thread. Raises UnsupportedModel or CheckpointError if one does not fit."""

    def use(self, made: Stack) -> Stack:
        """From the next step on there are these adapters, and no others; returns those that there were."""


class Adapters:
    """Lives on the event loop. Files are read in a thread; the step thread only takes over what was made of them."""

    def __init__(self, decoder: AdaptableDecoder, loop: EngineLoop, precision: Precision) -> None:
        self._decoder = decoder
        self._loop = loop
        self._precision = precision
        self._one = asyncio.Lock()
        self._changes: set[asyncio.Task[None]] = set()
        self._changing = ""
        """One that is loaded or dropped just now: it may be gone by the next step, and a step cannot do without it."""

    @property
    def names(self) -> list[str]:
        """Of those that requests may choose."""
        return sorted(name for name in self._decoder.adapters if name != self._changing)

    def get(self, name: str) -> Adapter | None:
        """One that requests may choose, or None."""
        return self._decoder.adapters.get(name) if name != self._changing else None

    async def load(self, name: str, folder: Path) -> None:
        """From now on requests may choose it. Does nothing if it is there.

        Raises BadRequest with the reason if it is not an adapter of this model, InUse if another has the name, Busy if
        there is no room to check it.
        """
        await asyncio.shield(self._begun(self._load(name, folder)))

    async def drop(self, name: str) -> None:
        """Nobody can choose it any more. Does nothing if it is not there. Raises InUse while requests run with it."""
        await asyncio.shield(self._begun(self._drop(name)))

    def _begun(self, change: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Goes on where whoever asked has left: the next change builds on what this one leaves."""
        task = asyncio.create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return task

    async def _load(self, name: str, folder: Path) -> None:
        async with self._one:
            known = self._decoder.adapters.get(name)
            if known is not None and known.folder == folder:
                return
            if known is not None:
                raise InUse(f"another adapter has the name {name!r:.200}: drop it first")
            self._changing = name
            try:
                made = await asyncio.to_thread(self._with, name, folder)
                await asyncio.wrap_future(self._loop.between(partial(self._take, made, name)))
            except EngineError as error:
                raise BadRequest(str(error)) from error
            finally:
                self._changing = ""
            _log.info("adapter %s loaded", name)

    async def _drop(self, name: str) -> None:
        async with self._one:
            if name not in self._decoder.adapters:
                return
            self._changing = name
            try:
                left = [one for one in self._decoder.adapters.values() if one.name != name]
                made = await asyncio.to_thread(self._decoder.stack, left)
                await asyncio.wrap_future(self._loop.between(partial(self._leave, made, name)))
            finally:
                self._changing = ""
            _log.info("adapter %s dropped", name)

    def _with(self, name: str, folder: Path) -> Stack:
        return self._decoder.stack([*self._decoder.adapters.values(), read_adapter(name, folder)])

    def _take(self, made: Stack, name: str) -> None:
        """On the step thread: a new adapter must give finite logits, the same alone and beside others."""
        pool = self._loop.pool
        needed = min(2, pool.num_blocks)
        if pool.free < needed:
            raise Busy(f"adapter {name!r:.200} cannot be checked: requests hold all KV blocks")
        before = self._decoder.use(made)
        blocks = pool.allocate(needed)
        try:
            check_adapters(self._decoder, self._precision, [name], blocks, _CHECK_TOKENS)
        except BaseException:
            self._decoder.use(before)
            raise
        finally:
            pool.release(blocks)

    def _leave(self, made: Stack, name: str) -> None:
        """On the step thread, which has all requests by now that chose it before it was leaving."""
        if self._loop.scheduler.uses(name):
            raise InUse(f"requests run with adapter {name!r:.200}")
        self._decoder.use(made)
