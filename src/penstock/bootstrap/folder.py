"""Wires the data folder and the database, for this process alone."""

from contextlib import AsyncExitStack

from penstock.adapters.store.claim import FileClaim
from penstock.adapters.store.store import SqlStore
from penstock.domain.errors import PenstockError
from penstock.settings import Settings


async def claim_folder(settings: Settings, stack: AsyncExitStack) -> None:
    """Makes the folder if it is not there; raises Conflict if a server has it, PenstockError if it cannot be used."""
    folder = settings.data_dir.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        claim = FileClaim(folder / "server.lock", f"The data folder {folder}")
        await claim.take()
    except OSError as error:
        raise PenstockError(f"The data folder {folder} cannot be used: {error.strerror}.") from error
    stack.push_async_callback(claim.give_back)


async def open_store(settings: Settings, stack: AsyncExitStack) -> SqlStore:
    """The database, brought up to date; raises Conflict if a server has it, Temporary if it cannot be reached."""
    store = SqlStore(settings.database_url)
    stack.push_async_callback(store.close)
    await store.open()
    return store
