"""One server per database: the claim that a second one does not get."""

import asyncio
import contextlib
import fcntl
import os
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from penstock.adapters.store.database import WAIT_S, connect, failures
from penstock.domain.errors import Conflict, Temporary

# "PENSTOCK" in ASCII, as one 64-bit number
_LOCK_NUMBER = int.from_bytes(b"PENSTOCK", "big")
_LOCK = text("SELECT pg_try_advisory_lock(:number)")
_SESSION = text("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
_END = text("SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE pid = :pid AND backend_start = :began")


class Claim(Protocol):
    """The right to be the one server of a database; ends with the process at the latest."""

    async def take(self) -> None:
        """Takes it; raises Conflict if another process has it, Temporary if the database cannot be reached."""
        ...

    async def confirm(self) -> None:
        """Takes it again if it was lost with a connection; raises Temporary if that cannot be done now."""
        ...

    async def give_back(self) -> None:
        """Lets others have it. Safe to repeat."""
        ...


class FileClaim:
    """A lock on a file beside what it protects; the file holds the owner's process id and stays when it ends."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        self._descriptor: int | None = None

    async def take(self) -> None:
        """Locks the file, which the operating system undoes when the process ends in whatever way."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise Conflict(f"{self._what} is in use by another Penstock server (process {owner}).") from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    async def confirm(self) -> None:
        """A lock on a file is not lost."""

    async def give_back(self) -> None:
        """Unlocks."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class PostgresClaim:
    """An advisory lock, held by a connection of its own."""

    def __init__(self, url: URL) -> None:
        patience = {"timeout": WAIT_S, "command_timeout": WAIT_S}
        self._engine: AsyncEngine = create_async_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=patience
        )
        self._connection: AsyncConnection | None = None
        self._session: dict[str, Any] | None = None
        self._turn = asyncio.Lock()

    async def take(self) -> None:
        """Locks for as long as the connection lives."""
        connection = await connect(self._engine)
        try:
            with failures():
                await self._lock(connection)
        except BaseException:
            # A lock whose connection nobody knows would keep ourselves out.
            await connection.close()
            raise
        self._connection = connection

    async def _lock(self, connection: AsyncConnection) -> None:
        locked = await connection.scalar(_LOCK, {"number": _LOCK_NUMBER})
        if not locked and self._session is not None:
            # Our own session may go on there though its connection broke: nobody may have told the database.
            await connection.execute(_END, self._session)
            locked = await connection.scalar(_LOCK, {"number": _LOCK_NUMBER})
        if not locked:
            raise Conflict("The database is in use by another Penstock server.")
        pid, began = (await connection.execute(_SESSION)).one()
        self._session = {"pid": pid, "began": began}

    async def confirm(self) -> None:
        """Asks on the lock's connection; a lost one is made anew and locked again."""
        async with self._turn:
            if self._connection is not None and not await _answers(self._connection):
                await self._forget()
            if self._connection is None:
                await self._retake()

    async def _retake(self) -> None:
        try:
            await self.take()
        except Conflict as error:
            raise Temporary("Another Penstock server has taken the database.") from error

    async def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Temporary), failures():
                await connection.invalidate()
                await connection.close()

    async def give_back(self) -> None:
        """Ends the connection and the lock with it."""
        await self._forget()
        await self._engine.dispose()


async def _answers(connection: AsyncConnection) -> bool:
    try:
        with failures():
            await connection.execute(text("SELECT 1"))
    except Temporary:
        return False
    return True


def claim_for(url: URL) -> Claim:
    """The claim that fits the database."""
    if url.get_backend_name() == "sqlite":
        path = Path(str(url.database))
        return FileClaim(path.with_name(path.name + ".lock"), f"The database {path}")
    return PostgresClaim(url)
