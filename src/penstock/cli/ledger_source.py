"""Where the ledger's commands read: the database of a server, which may run meanwhile, and a period of time."""

import asyncio
import csv
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from penstock.adapters.store.reader import ReadUnit, SqlReader
from penstock.domain.errors import InvalidParameter, PenstockError
from penstock.domain.ledger_entry import minute_of
from penstock.ports.store import Unit
from penstock.settings import load

Job = Callable[[ReadUnit], Awaitable[int]]
MOST_NAMES = 20
PIPE_WIDTH = 200
YEARS = range(1971, 9000)
"""Beyond these a time is a slip of the pen, and calendars end."""


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


def period(since: str, until: str) -> tuple[int, int]:
    """The period from `since` to before `until`, whole minutes, as epoch milliseconds.

    Raises InvalidParameter that names the option if a time is none, they are the wrong way round, or all is to come.
    """
    begin, end = _moment(since, "--from"), _moment(until, "--to")
    if begin >= end:
        raise InvalidParameter(f"--from ({since}) must be before --to ({until}).")
    if begin > datetime.now(UTC).timestamp() * 1000:
        raise InvalidParameter(f"--from ({since}) is in the future: nothing has happened then.")
    return begin, end


def _moment(text: str, option: str) -> int:
    """The beginning of the minute of a time such as 2026-11-21T14:00, UTC if it says nothing else."""
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidParameter(
            f"{option} must be a date or a time such as 2026-11-21 or 2026-11-21T14:00, but is '{text}'."
        ) from error
    if at.year not in YEARS:
        raise InvalidParameter(f"{option} must be in the years {YEARS[0]} to {YEARS[-1]}, but is '{text}'.")
    return minute_of(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000))


def told(at_ms: int) -> str:
    """A moment for tables."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a table; raises InvalidParameter if the file cannot be written."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(head)
            writer.writerows(rows)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> InvalidParameter:
    """What is said of a file that cannot be written."""
    return InvalidParameter(f"{path} cannot be written: {error.strerror or error}.")


async def nothing_of(unit: Unit, endpoint: str) -> str:
    """Why the ledger has nothing of an endpoint in a period."""
    known = await unit.ledger.endpoints()
    if endpoint in known or endpoint in known.values():
        first, last = await unit.ledger.minutes(0, limit=1), await unit.ledger.last()
        span = f" The ledger reaches from {told(first[0].key.minute)} to {told(last.key.minute)}." if last else ""
        return f"The ledger has no closed minute of the endpoint '{endpoint}' in that time.{span}"
    names = sorted({name or endpoint_id for endpoint_id, name in known.items()})
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    listed = ", ".join(names[:MOST_NAMES]) or "none"
    return f"The ledger does not know the endpoint '{endpoint}'. It knows: {listed}{more}."


def wide_console() -> Console:
    """Where tables go: as wide as the terminal; in a file or a pipe as wide as they need."""
    console = Console()
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=PIPE_WIDTH)
