"""Clients that ask again and again over kept connections, and what they see: streams for a while, or so many requests.

Written on a bare protocol so that two hundred of them, with the upstream, need a part of one core only.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import httptools

CLOCK = time.perf_counter
"""Not the loop's: that one counts in milliseconds."""
_OK = 200
_END = b"\n\n"


class Record(Protocol):
    """What a client tells, and asks whether it goes on."""

    def ask(self, now: float) -> bool:
        """Whether another request may be sent now; it is, if so."""
        ...

    def first(self, asked: float, now: float) -> None:
        """The answer to what was asked then begins to come."""
        ...

    def events(self, count: int, now: float) -> None:
        """So many events have come."""
        ...

    def ended(self) -> None:
        """An answer is complete."""
        ...

    def failed(self, why: str) -> None:
        """An answer was refused or has broken off."""
        ...


@dataclass
class Wave:
    """Streams in the window from `begins` to `ends`, by the clients' clock in seconds; what comes before is not told.

    `waiting` are the moments at which streams were asked for that have not begun, `cpu_s` what the gateway took.
    """

    begins: float
    ends: float
    ttft_s: list[float] = field(default_factory=list)
    chunks: int = 0
    cpu_s: float = 0.0
    failures: list[str] = field(default_factory=list)
    waiting: set[float] = field(default_factory=set)

    def ask(self, now: float) -> bool:
        if now >= self.ends:
            return False
        self.waiting.add(now)
        return True

    def first(self, asked: float, now: float) -> None:
        self.waiting.discard(asked)
        if self.begins <= now < self.ends:
            self.ttft_s.append(now - asked)

    def events(self, count: int, now: float) -> None:
        if self.begins <= now < self.ends:
            self.chunks += count

    def ended(self) -> None:
        pass

    def failed(self, why: str) -> None:
        self.failures.append(why)

    def closed(self) -> list[float]:
        """Times to the first token, with what the streams that never began have waited at least."""
        return sorted([*self.ttft_s, *(self.ends - asked for asked in self.waiting)])


@dataclass
class Count:
    """So many requests in all."""

    left: int
    done: int = 0
    failures: list[str] = field(default_factory=list)

    def ask(self, _now: float) -> bool:
        self.left -= 1
        return self.left >= 0

    def first(self, asked: float, now: float) -> None:
        pass

    def events(self, count: int, now: float) -> None:
        pass

    def ended(self) -> None:
        self.done += 1

    def failed(self, why: str) -> None:
        self.failures.append(why)


class Client(asyncio.Protocol):
    """One connection. It asks when it is made, and after each answer while the record says so; `over` is then set."""

    def __init__(self, request: bytes, record: Record, clock: Callable[[], float]) -> None:
        self._request = request
        self._record = record
        self._clock = clock
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._asked = -1.0
        self._begun = False
        self._newline = b""
        self.over = asyncio.Event()

    def ask(self) -> None:
        """Sends a request if there is to be one more."""
        self._asked = self._clock()
        if not self._record.ask(self._asked):
            self._asked = -1.0
            self.over.set()
            return
        self._begun, self._newline = False, b""
        assert self._transport is not None
        self._transport.write(self._request)

    def stop(self) -> None:
        """Hangs up."""
        self._asked = -1.0
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.ask()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._record.failed(str(error))
            self.stop()

    def connection_lost(self, error: Exception | None) -> None:
        if self._asked >= 0:
            self._record.failed(f"the connection was closed: {error}")
        self.over.set()

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status != _OK:
            self._record.failed(f"HTTP {status}")

    def on_body(self, body: bytes) -> None:
        if self._asked < 0:
            return
        now = self._clock()
        if not self._begun:
            self._begun = True
            self._record.first(self._asked, now)
        # The end of an event may be cut in two.
        self._record.events((self._newline + body).count(_END), now)
        self._newline = b"\n" if body.endswith(b"\n") and not body.endswith(_END) else b""

    def on_message_complete(self) -> None:
        if self._asked >= 0:
            self._record.ended()
            self.ask()


@dataclass(frozen=True)
class Ask:
    """What is asked, of whom."""

    url: str
    token: str
    body: str

    def where(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 80

    def request(self) -> bytes:
        """The bytes of a POST."""
        parts, content = urlsplit(self.url), self.body.encode()
        head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content


async def streams(ask: Ask, count: int, fill_s: float, seconds: float, cpu_s: Callable[[], float]) -> Wave:
    """So many streams at once, asked for one after another within `fill_s`, and measured for some seconds after.

    `cpu_s` tells the seconds of processor time that the gateway has taken so far.
    """
    loop = asyncio.get_running_loop()
    whole = ask.request()
    began = CLOCK()
    wave = Wave(began + fill_s, began + fill_s + seconds)
    clients: list[Client] = []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + fill_s * number / count - CLOCK()))
        _, client = await loop.create_connection(lambda: Client(whole, wave, CLOCK), *ask.where())
        clients.append(client)
    await asyncio.sleep(max(0.0, wave.begins - CLOCK()))
    before = cpu_s()
    await asyncio.sleep(max(0.0, wave.ends - CLOCK()))
    wave.cpu_s = cpu_s() - before
    for client in clients:
        client.stop()
    await asyncio.gather(*(client.over.wait() for client in clients))
    return wave


async def counted(ask: Ask, requests: int, connections: int = 16) -> Count:
    """So many requests over so many connections."""
    loop = asyncio.get_running_loop()
    whole = ask.request()
    count = Count(requests)
    clients = []
    for _ in itertools.repeat(None, connections):
        _, client = await loop.create_connection(lambda: Client(whole, count, CLOCK), *ask.where())
        clients.append(client)
    await asyncio.gather(*(client.over.wait() for client in clients))
    for client in clients:
        client.stop()
    return count
