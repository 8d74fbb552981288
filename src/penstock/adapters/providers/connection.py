"""One connection to a provider: it has limits of time, and says when it is free or gone."""

import asyncio
from collections.abc import Callable

from penstock.adapters.http_connection import HttpConnection

LINGER_S = 1.0
"""How long the end of a body whose content is all there may take; then its connection is not used again."""
MOST_HEAD = 1024 * 1024
"""Bytes that may come before an answer's head is complete."""

Origin = tuple[bool, str, int]
"""Whether it is spoken to by TLS, the host and the port."""


class ProviderConnection(HttpConnection):
    """Raises TimeoutError when the provider takes too long, and ConnectionError when it breaks off.

    `heard`: something has come back for the newest request.
    """

    def __init__(self, origin: Origin, freed: Callable[["ProviderConnection"], None]) -> None:
        """`freed` is called when it may be used again after it lingered, and when it is lost."""
        super().__init__()
        self.origin = origin
        self.heard = False
        self._freed = freed
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._silence_s = self._ends_at = self._waits_since = 0.0
        self._came = 0
        self._late = self._lingers = False

    def failure(self, why: str) -> Exception:
        """By the reason."""
        return TimeoutError(why) if self._late else ConnectionError(why)

    @property
    def reusable_now(self) -> bool:
        """Whether the next request may go on it."""
        transport = self._transport
        # A provider may answer before it has read the whole request.
        return self.spent and not self.closed and transport is not None and not transport.get_write_buffer_size()

    async def ask(self, request: tuple[bytes, ...], silence_s: float, ends_at: float) -> None:
        """Sends a request, and waits for the head of its answer; broken off if that fails.

        From here on it may be silent for so long, and must have ended by then, by the loop's clock.
        """
        self._silence_s, self._ends_at = silence_s, ends_at
        self._waits_since = self._loop.time()
        self.heard, self._came = False, 0
        self._timer = self._loop.call_at(min(self._waits_since + silence_s, ends_at), self._look)
        try:
            self.send(*request)
            await self.head()
        except BaseException:
            self.abort()
            raise

    def linger(self) -> None:
        """Nobody reads on; if the answer ends soon, the connection is free."""
        self._lingers = True
        self._stop_timer()
        self._timer = self._loop.call_later(LINGER_S, self.abort)

    def forget(self) -> None:
        """Drops what has come of the answer and was not read."""
        if self._parts:
            self._taken()

    # What the event loop calls

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        self.heard = True
        if not self._begun:
            self._came += len(data)
            if self._came > MOST_HEAD:
                self._failure = "the head of its answer is too large"
                self.abort()
                self._wake()
                return
        super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        super().connection_lost(error)
        self._stop_timer()
        self._freed(self)

    # What the parser calls

    def on_message_complete(self) -> None:
        """The end of the answer."""
        super().on_message_complete()
        if self.complete:
            self._stop_timer()
            if self._lingers:
                self._lingers = False
                self.forget()
                self._freed(self)

    async def _more(self) -> None:
        self._waits_since = self._loop.time()
        await super()._more()

    def _look(self) -> None:
        """Breaks it off if it has been waited for too long, else looks again when that may be."""
        now = self._loop.time()
        silent_since = self._waits_since if self._waiter is not None else now
        due = min(silent_since + self._silence_s, self._ends_at)
        if due > now:
            self._timer = self._loop.call_at(due, self._look)
            return
        self._late, self._failure = True, "it took too long"
        self.abort()
        self._wake()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
