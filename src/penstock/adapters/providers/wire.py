"""One HTTP client for all providers: kept connections, limits of time, and no way into the private network."""

import asyncio
import re
import socket
import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from yarl import URL

from penstock.adapters.providers.connection import Origin, ProviderConnection
from penstock.adapters.providers.connections import Connections
from penstock.domain.errors import ProviderFailed, ProviderLate

MOST_BYTES = 64 * 1024 * 1024
"""Of one answer in memory."""
MOST_PLACES = 1000
_SMALL = 64 * 1024
"""Bytes of a body that is sent in one piece with its head."""
_REDIRECT, _ERROR = 300, 400
_JSON = "application/json"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BREAK = re.compile(r"[\r\n\0]")
_ZIPPED = zlib.MAX_WBITS | 32
"""gzip and deflate, told apart by how they begin."""
_INFLATED = frozenset({b"gzip", b"deflate"})
_READ = _INFLATED | {b"", b"identity"}


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for a connection, for the first byte and between two, and for a whole answer."""

    connect_s: float = 5.0
    silence_s: float = 300.0
    total_s: float = 597.0


@dataclass(frozen=True, slots=True)
class _Place:
    """A URL: who is connected to, and how a request begins."""

    origin: Origin
    head: bytes


class WireAnswer:
    """What was answered; see `penstock.ports.provider.ProviderAnswer` for what is alike."""

    __slots__ = (
        "_closed",
        "_connection",
        "_connections",
        "_ended",
        "_headers",
        "_inflater",
        "_who",
        "_whole",
        "content_type",
        "retry_after",
        "status",
    )

    def __init__(self, connection: ProviderConnection, who: str, connections: Connections) -> None:
        headers = connection.headers
        self._connection = connection
        self._connections = connections
        self._headers = headers
        self._who = who
        self._ended = self._closed = False
        self._whole: bytes | None = None
        # We ask for none, but there are servers that compress all the same.
        self._inflater = zlib.decompressobj(_ZIPPED) if _encoding(headers) in _INFLATED else None
        self.status = connection.status
        self.content_type = headers.get(b"content-type", b"application/json")
        self.retry_after = headers.get(b"retry-after", b"")

    async def whole(self) -> bytes:
        """The body, also a second time; raises ProviderFailed also if it is too large."""
        if self._whole is not None:
            return self._whole
        parts, size = [], 0
        while chunk := await self.chunk():
            parts.append(chunk)
            size += len(chunk)
            if size > MOST_BYTES:
                raise self._too_large()
        self._whole = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._whole

    def header(self, name: str) -> str:
        """A header, empty if it was not sent."""
        return self._headers.get(name.lower().encode(), b"").decode("latin-1")

    async def chunk(self) -> bytes:
        """What has arrived, empty at the end."""
        try:
            chunk = await self._connection.chunk()
            while self._inflater is not None and chunk:
                if found := self._inflated(chunk):
                    return found
                chunk = await self._connection.chunk()
        except TimeoutError as error:
            raise ProviderLate(f"{self._who} fell silent in the middle of its answer.") from error
        except OSError as error:
            raise ProviderFailed(f"{self._who} broke off in the middle of its answer.") from error
        self._ended = self._ended or not chunk
        return chunk

    def complete(self) -> None:
        """All that matters has been read: the connection is kept if the body ends soon."""
        self._ended = True

    def close(self) -> None:
        """Safe to repeat."""
        if not self._closed:
            self._closed = True
            self._connections.give_back(self._connection, ended=self._ended)

    def _inflated(self, chunk: bytes) -> bytes:
        assert self._inflater is not None
        try:
            found = self._inflater.decompress(chunk, MOST_BYTES + 1)
        except zlib.error:
            raise ProviderFailed(f"{self._who} sent an answer whose compression is broken.") from None
        if len(found) > MOST_BYTES:
            raise self._too_large()
        return found

    def _too_large(self) -> ProviderFailed:
        return ProviderFailed(f"The answer of {self._who} is larger than {MOST_BYTES} bytes.")


class Wire:
    """Posts to providers. Belongs to the event loop that it is made in."""

    def __init__(self, patience: Patience, *, allow_private: bool) -> None:
        self._patience = patience
        self._connections = Connections(connect_s=patience.connect_s, allow_private=allow_private)
        self._places: dict[str | URL, _Place] = {}

    async def post(
        self, who: str, url: str | URL, headers: Mapping[str, str], body: bytes, content_type: str = _JSON
    ) -> WireAnswer:
        """Posts, and returns when the answer begins; `who` is for sentences. A URL that is no text goes as it is.

        A kept connection that turns out to be closed is replaced by a fresh one, once. Redirects are not followed.

        Raises:
            ProviderFailed: it cannot be reached, breaks off before it answers, or redirects.
            ProviderLate: it did not answer in time.
        """
        try:
            place = self._place(url)
            connection = await self._ask(place.origin, _request(place, headers, body, content_type))
        except TimeoutError as error:
            raise ProviderLate(f"{who} did not answer in time.") from error
        except OSError as error:
            raise ProviderFailed(f"{who} cannot be reached: {_why(error)}.") from error
        except ValueError:
            # without its cause, which may hold a secret
            raise ProviderFailed(f"{who} cannot be asked: its URL or a header of the request is not valid.") from None
        if _REDIRECT <= connection.status < _ERROR:
            connection.abort()
            raise ProviderFailed(f"{who} answered with a redirect ({connection.status}), which is not followed.")
        if _encoding(connection.headers) not in _READ:
            connection.abort()
            raise ProviderFailed(f"{who} answered in an encoding that it was not asked for.")
        return WireAnswer(connection, who, self._connections)

    async def close(self) -> None:
        """Closes the connections."""
        self._connections.close()

    async def _ask(self, origin: Origin, request: tuple[bytes, ...]) -> ProviderConnection:
        silence_s = self._patience.silence_s
        ends_at = asyncio.get_running_loop().time() + self._patience.total_s
        connection = self._connections.kept(origin)
        if connection is not None:
            try:
                await connection.ask(request, silence_s, ends_at)
            except ConnectionError:
                if connection.heard:
                    raise
            else:
                return connection
        connection = await self._connections.connect(origin)
        await connection.ask(request, silence_s, ends_at)
        return connection

    def _place(self, url: str | URL) -> _Place:
        place = self._places.get(url)
        if place is None:
            place = _place(URL(url))
            if len(self._places) >= MOST_PLACES:
                self._places.clear()
            self._places[url] = place
        return place


def _place(url: URL) -> _Place:
    """Raises ValueError if nothing can be posted there."""
    host, port = url.raw_host, url.port
    if url.scheme not in {"http", "https"} or not host or not port or url.raw_user is not None:
        raise ValueError(url.scheme)
    head = (
        f"POST {url.raw_path_qs} HTTP/1.1\r\nhost: {url.host_port_subcomponent}\r\n"
        "user-agent: penstock\r\naccept: */*\r\naccept-encoding: identity\r\n"
    )
    return _Place((url.scheme == "https", host, port), head.encode())


def _request(place: _Place, headers: Mapping[str, str], body: bytes, content_type: str) -> tuple[bytes, ...]:
    """What is sent; raises ValueError for a header that cannot be."""
    lines = []
    for name, value in headers.items():
        if _NAME.fullmatch(name) is None or _BREAK.search(value) is not None:
            raise ValueError(name)
        lines.append(f"{name}: {value}\r\n")
    lines.append(f"content-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n")
    head = place.head + "".join(lines).encode()
    return (head + body,) if len(body) < _SMALL else (head, body)


def _encoding(headers: Mapping[bytes, bytes]) -> bytes:
    return headers.get(b"content-encoding", b"").lower()


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, ssl.SSLError):
        return "its certificate or its TLS is not accepted"
    return error.strerror or str(error) or "the connection was lost"
