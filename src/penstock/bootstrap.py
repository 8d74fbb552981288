"""Wires the server together, once. Each section makes one part and says how it is undone, in reverse order, at the end.

The order of a stop: no new requests, running ones drain, loops, engines, what is buffered, the database.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from penstock.adapters.clock import SystemClock
from penstock.adapters.store.claim import FileClaim
from penstock.adapters.store.store import SqlStore
from penstock.control.authenticator import Authenticator
from penstock.control.client_secrets import ClientSecrets
from penstock.control.health import Health
from penstock.control.installation import Installation, prepare
from penstock.control.loop import Loop
from penstock.control.principals import Principals
from penstock.control.tokens import Tokens
from penstock.domain.errors import PenstockError, Temporary
from penstock.settings import Settings
from penstock.web.app import Parts, create_app
from penstock.web.server import HttpServer, address_of, listen

FAILURES_TO_BE_ILL = 3


@dataclass(frozen=True, slots=True)
class Started:
    """What is told when the server takes requests. `first_token` is set once in the life of an installation."""

    address: str
    first_token: str | None


async def run(settings: Settings, tell: Callable[[Started], None]) -> None:
    """Runs the server until SIGTERM or SIGINT; raises PenstockError if it cannot start."""
    with contextlib.closing(_listener(settings)) as listener:
        async with AsyncExitStack() as stack:
            parts, installation = await _build(settings, stack)
            server = HttpServer(create_app(parts), listener, drain_s=settings.drain_s)
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, server.stop)
            started = Started(address_of(listener), installation.first_token)
            await server.run_until_stopped(lambda: tell(started))


def _listener(settings: Settings) -> socket.socket:
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise PenstockError(f"Penstock cannot listen on {where}: {error.strerror}.") from error


async def _build(settings: Settings, stack: AsyncExitStack) -> tuple[Parts, Installation]:
    """Every part, from the ground up."""
    clock = SystemClock()

    # The data folder and the database, for this process alone
    await _claim_folder(settings, stack)
    store = SqlStore(settings.database_url)
    stack.push_async_callback(store.close)
    await store.open()

    # Who is calling
    given_token = settings.admin.token.get_secret_value() if settings.admin.token else None
    installation = await prepare(store, clock, given_token)
    authenticator = Authenticator(store, clock)
    stack.push_async_callback(_last_uses, authenticator)
    tokens = Tokens(
        store,
        clock,
        authenticator,
        quota=settings.access.token_quota,
        longest_s=settings.access.token_lifetime_s or None,
    )

    # Loops
    loops = [
        Loop("token uses", authenticator.write_uses, clock, period_s=settings.access.write_uses_s),
        Loop("token sweep", tokens.sweep, clock, period_s=settings.sweep.period_s),
    ]
    supervisor = await stack.enter_async_context(_running(loops))

    # What is served
    parts = Parts(
        workspace_id=installation.workspace_id,
        public_url=settings.public_url,
        authenticator=authenticator,
        health=Health({"database": store.ping, "loops": supervisor.check}),
        tokens=tokens,
        principals=Principals(store, clock, authenticator),
        client_secrets=ClientSecrets(store, clock, token_s=settings.access.oauth_lifetime_s),
    )
    return parts, installation


async def _claim_folder(settings: Settings, stack: AsyncExitStack) -> None:
    folder = settings.data_dir.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        claim = FileClaim(folder / "server.lock", f"The data folder {folder}")
        await claim.take()
    except OSError as error:
        raise PenstockError(f"The data folder {folder} cannot be used: {error.strerror}.") from error
    stack.push_async_callback(claim.give_back)


async def _last_uses(authenticator: Authenticator) -> None:
    # A database that is away when the server stops costs the times of a minute, and must not keep it from stopping.
    with contextlib.suppress(Temporary):
        await authenticator.write_uses()


@dataclass(frozen=True, slots=True)
class _Supervisor:
    loops: Sequence[Loop]
    tasks: Sequence[asyncio.Task[None]]

    async def check(self) -> None:
        """Raises Temporary if a loop has ended or keeps failing."""
        for loop, task in zip(self.loops, self.tasks, strict=True):
            if task.done():
                raise Temporary(f"The loop '{loop.name}' has ended.")
            if loop.failures >= FAILURES_TO_BE_ILL:
                raise Temporary(f"The loop '{loop.name}' failed {loop.failures} times in a row.")


@asynccontextmanager
async def _running(loops: Sequence[Loop]) -> AsyncIterator[_Supervisor]:
    """Runs the loops; at the end they are cancelled and waited for."""
    tasks = [asyncio.create_task(loop.run(), name=loop.name) for loop in loops]
    try:
        yield _Supervisor(loops, tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
