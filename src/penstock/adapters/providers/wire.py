"""One HTTP client for all providers: kept connections, limits of time, and no way into the private network."""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from penstock.domain.addresses import is_public
from penstock.domain.errors import ProviderFailed, ProviderLate

KEEP_S = 30.0
"""How long a connection may be idle and still be used."""
MOST_BYTES = 64 * 1024 * 1024
"""Of one answer in memory."""
LINGER_S = 1.0
"""How long the end of a body whose content is all there may take; then its connection is not used again."""
_REDIRECT, _ERROR = 300, 400
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for a connection, for the first byte and between two, and for a whole answer."""

    connect_s: float = 5.0
    silence_s: float = 300.0
    total_s: float = 597.0


class _PrivateAddress(OSError):
    """A name leads to where requests may not go."""


class _Lingering:
    """Bodies whose content is all there, and whose end is waited for: their connections are kept if it comes."""

    def __init__(self) -> None:
        self._timers: dict[aiohttp.ClientResponse, asyncio.TimerHandle] = {}

    def add(self, response: aiohttp.ClientResponse) -> None:
        """The response gives its connection back at the end of the body, and is kept by the timer until then."""
        self._timers[response] = asyncio.get_running_loop().call_later(LINGER_S, self._close, response)

    def close(self) -> None:
        """Waits no more."""
        for response, timer in list(self._timers.items()):
            timer.cancel()
            self._close(response)

    def _close(self, response: aiohttp.ClientResponse) -> None:
        self._timers.pop(response, None)
        response.close()


class WireAnswer:
    """What was answered; see `penstock.ports.provider.ProviderAnswer` for what is alike."""

    __slots__ = ("_ended", "_lingering", "_response", "_who", "_whole", "content_type", "retry_after", "status")

    def __init__(self, response: aiohttp.ClientResponse, who: str, lingering: _Lingering) -> None:
        self._response = response
        self._lingering = lingering
        self._who = who
        self._ended = False
        self._whole: bytes | None = None
        self.status = response.status
        self.content_type = response.headers.get("content-type", _JSON).encode("latin-1", "replace")
        self.retry_after = response.headers.get("retry-after", "").encode("latin-1", "replace")

    async def whole(self) -> bytes:
        """The body, also a second time; raises ProviderFailed also if it is too large."""
        if self._whole is not None:
            return self._whole
        parts, size = [], 0
        while chunk := await self.chunk():
            parts.append(chunk)
            size += len(chunk)
            if size > MOST_BYTES:
                raise ProviderFailed(f"The answer of {self._who} is larger than {MOST_BYTES} bytes.")
        self._whole = b"".join(parts)
        return self._whole

    def header(self, name: str) -> str:
        """A header, empty if it was not sent."""
        return self._response.headers.get(name, "")

    async def chunk(self) -> bytes:
        """What has arrived, empty at the end."""
        try:
            chunk = await self._response.content.readany()
        except TimeoutError as error:
            raise ProviderLate(f"{self._who} fell silent in the middle of its answer.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderFailed(f"{self._who} broke off in the middle of its answer.") from error
        self._ended = self._ended or not chunk
        return chunk

    def complete(self) -> None:
        """All that matters has been read: the connection is kept if the body ends soon."""
        self._ended = True

    def close(self) -> None:
        """Safe to repeat."""
        if self._ended and not self._response.content.at_eof():
            self._lingering.add(self._response)
        else:
            self._response.close()


class Wire:
    """Posts to providers. Belongs to the event loop that it is made in."""

    def __init__(self, patience: Patience, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._lingering = _Lingering()
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            # Whoever asks is bounded before; a limit here would only make requests wait where nobody sees it.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_S, socket_factory=self._socket),
            timeout=aiohttp.ClientTimeout(
                total=patience.total_s, connect=patience.connect_s, sock_read=patience.silence_s
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": "penstock", "accept-encoding": "identity"},
            trace_configs=[trace],
        )

    async def post(
        self, who: str, url: str | URL, headers: Mapping[str, str], body: bytes, content_type: str = _JSON
    ) -> WireAnswer:
        """Posts, and returns when the answer begins; `who` is for sentences. A URL that is no text goes as it is.

        A kept connection that turns out to be closed is replaced by a fresh one, once. Redirects are not followed.

        Raises:
            ProviderFailed: it cannot be reached, breaks off before it answers, or redirects.
            ProviderLate: it did not answer in time.
        """
        sent = {**headers, "content-type": content_type}
        try:
            response = await self._post(url, sent, body)
        except TimeoutError as error:
            raise ProviderLate(f"{who} did not answer in time.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderFailed(f"{who} cannot be reached: {_why(error)}.") from error
        except ValueError:
            # without its cause, which may hold a secret
            raise ProviderFailed(f"{who} cannot be asked: its URL or a header of the request is not valid.") from None
        if _REDIRECT <= response.status < _ERROR:
            response.close()
            raise ProviderFailed(f"{who} answered with a redirect ({response.status}), which is not followed.")
        return WireAnswer(response, who, self._lingering)

    async def close(self) -> None:
        """Closes the connections."""
        self._lingering.close()
        await self._session.close()

    async def _post(self, url: str | URL, headers: Mapping[str, str], body: bytes) -> aiohttp.ClientResponse:
        how: dict[str, Any] = {"data": body, "headers": headers, "allow_redirects": False}
        seen = SimpleNamespace(reused=False)
        try:
            return await self._session.post(url, **how, trace_request_ctx=seen)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not seen.reused:
                raise
        return await self._session.post(url, **how)

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for an address that a name led to: checked here, where nothing comes in between any more."""
        family, kind, protocol, _, where = address
        if not self._allow_private and not is_public(str(where[0])):
            raise _PrivateAddress(
                "its address is not a public one; the setting external.allow_private_addresses allows that"
            )
        return socket.socket(family, kind, protocol)


async def _note_reuse(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceConnectionReuseconnParams
) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.reused = True


def _why(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    inner = getattr(error, "os_error", None)
    if isinstance(error, aiohttp.ClientSSLError):
        return "its certificate or its TLS is not accepted"
    return str(inner.strerror or inner) if inner is not None else "the connection was lost"
