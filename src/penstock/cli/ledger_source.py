"""Where the ledger's commands read: the database of a server, which may run meanwhile, and a period of time."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from penstock.adapters.store.reader import SqlReader
from penstock.domain.errors import InvalidParameter, PenstockError
from penstock.domain.ledger_entry import minute_of
from penstock.ports.store import Unit
from penstock.settings import load

Job = Callable[[Unit], Awaitable[int]]


def read(database: str | None, data_dir: Path | None, config: Path | None, job: Job) -> int:
    """Runs the job in one transaction that only reads; returns its exit status, or 2 if the ledger cannot be read."""
    given = {"database": database, "data_dir": data_dir}
    try:
        settings = load({key: value for key, value in given.items() if value is not None}, os.environ, config)
        return asyncio.run(_run(settings.database_url, job))
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        return 2


async def _run(url: str, job: Job) -> int:
    reader = SqlReader(url)
    try:
        async with reader.unit() as unit:
            return await job(unit)
    finally:
        await reader.close()


def moment(text: str, field: str) -> int:
    """The beginning of the minute of a time such as 2026-11-21T14:00, UTC if it says nothing else; epoch milliseconds.

    Raises InvalidParameter naming `field`.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidParameter(f"{field} must be a time such as 2026-11-21T14:00, but is '{text}'.") from error
    return minute_of(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000))


def told(at_ms: int) -> str:
    """A moment for people."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
