"""MLflow's tracking server, run by the interpreter that has it; see `penstock.ports.tracking`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp
import structlog
from yarl import URL

from penstock.adapters.tracking.child import NOT_INSTALLED
from penstock.adapters.tracking.place import PREFIX, Place, launch_of
from penstock.domain.errors import EngineFailed, InvalidRequest, Temporary
from penstock.ports.clock import Clock
from penstock.ports.cluster import Cluster, Process
from penstock.ports.tracking import TrackingAnswer, TrackingRequest

NAME = "mlflow"
# It refuses requests to hosts that it does not know, and it knows this one.
_HOST = "localhost"
_POLL_S = 0.1
_READ_S = 300.0
_STOP_S = 10.0
_IDLE_S = 30.0
_RETRY_AFTER_S = 2
_CONNECTIONS = 64
_TAIL = 2000
_CHUNK = 256 * 1024
_log = structlog.stdlib.get_logger("penstock.tracking")


class Answer:
    """See `penstock.ports.tracking.TrackingAnswer`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Sequence[tuple[str, str]] = [(name.lower(), value) for name, value in response.headers.items()]

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body."""
        try:
            async for chunk in self._response.content.iter_chunked(_CHUNK):
                yield chunk
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Temporary("The tracking server's answer broke off.", _RETRY_AFTER_S) from error
        finally:
            self._response.close()


class MlflowServer:
    """The one process, on a Unix socket.

    `prepare` is awaited before it starts; it may take `start_s` seconds. `hint` tells how to install it.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        place: Place,
        *,
        prepare: Callable[[], Awaitable[None]],
        start_s: float,
        hint: str,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._place = place
        self._prepare = prepare
        self._start_s = start_s
        self._hint = hint
        self._lock = asyncio.Lock()
        self._process: Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._starting: asyncio.Task[aiohttp.ClientSession] | None = None

    async def ask(self, request: TrackingRequest) -> TrackingAnswer:
        """Its answer."""
        session = await self._running()
        try:
            return Answer(await _send(session, request))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Temporary("The tracking server did not answer.", _RETRY_AFTER_S) from error

    async def close(self) -> None:
        """Ends the process."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        await self._end()

    async def _running(self) -> aiohttp.ClientSession:
        """A session with the process, which runs. Whoever gives up waiting for its start does not stop it."""
        async with self._lock:
            if self._starting is None or (self._starting.done() and not await self._lives()):
                self._starting = asyncio.create_task(self._start(), name="tracking server")
            return await asyncio.shield(self._starting)

    async def _lives(self) -> bool:
        return self._process is not None and await self._cluster.exit_code(self._process) is None

    async def _start(self) -> aiohttp.ClientSession:
        await self._end()
        await self._prepare()
        address = self._cluster.address(NAME)
        socket = address.removeprefix("unix:")
        await asyncio.to_thread(self._place.folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        launch = launch_of(self._place, socket)
        try:
            process = self._process = await self._cluster.start(launch)
        except EngineFailed as error:
            raise InvalidRequest(f"{self._hint} ({error.message})") from error
        session = self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(path=socket, limit=_CONNECTIONS, keepalive_timeout=_IDLE_S),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_READ_S, sock_read=_READ_S),
            auto_decompress=False,
            skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
        )
        end = self._clock.monotonic() + self._start_s
        while not await _answers(session):
            status = await self._cluster.exit_code(process)
            if status is not None or self._clock.monotonic() >= end:
                await self._fail(status, launch.log)
            await self._clock.sleep(_POLL_S)
        _log.info("tracking server started", pid=process.pid)
        return session

    async def _fail(self, status: int | None, log: Path) -> None:
        """Raises what callers are told; the log has the rest."""
        await self._end()
        if status == NOT_INSTALLED:
            raise InvalidRequest(self._hint)
        told = "did not become ready in time" if status is None else f"ended with status {status}"
        _log.error(f"tracking server {told}", log=await self._cluster.tail(log, _TAIL))
        raise Temporary(f"The tracking server {told}; its log is {log.name} in the data folder.", _RETRY_AFTER_S)

    async def _end(self) -> None:
        if self._session is not None:
            await self._session.close()
        if self._process is not None:
            await self._cluster.stop(self._process, _STOP_S)
        self._session = self._process = None


async def _send(session: aiohttp.ClientSession, request: TrackingRequest) -> aiohttp.ClientResponse:
    return await session.request(
        request.method,
        URL(f"http://{_HOST}{request.target}", encoded=True),
        headers=list(request.headers),
        data=request.body or None,
        allow_redirects=False,
    )


async def _answers(session: aiohttp.ClientSession) -> bool:
    """Whether it takes requests."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with session.get(f"http://{_HOST}{PREFIX}/health") as response:
            return response.ok
    return False
