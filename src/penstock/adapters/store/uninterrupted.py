"""A connection whose statements a cancelled caller waits for.

SQLAlchemy and its drivers can be cancelled within a statement, but do not always get out of the transaction then: one
that nobody owns any more keeps the database locked. Callers are cancelled often: clients hang up, servers stop. Here
the cancellation is told when the statement is done, between two of them, where rolling back is safe.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncTransaction

T = TypeVar("T")


async def settled(work: Coroutine[Any, Any, T]) -> T:
    """What the work returns or raises; a cancellation meanwhile is raised when it is done."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        # Asked for, so that a failure that nobody hears of now is not told of as one that was forgotten.
        task.exception()
        raise cancelled
    return task.result()


class Uninterrupted(AsyncConnection):
    """As SQLAlchemy's; `scalar`, `scalars` and their like are made of these."""

    async def start(self, is_ctxmanager: bool = False) -> "Uninterrupted":
        """Takes a connection from the pool; gives it back if the caller is gone by then."""
        try:
            await settled(super().start(is_ctxmanager))
        except asyncio.CancelledError:
            if self.sync_connection is not None:
                await self.close()
            raise
        return self

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a statement."""
        return await settled(super().execute(*args, **kwargs))

    async def exec_driver_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a statement in the database's own words."""
        return await settled(super().exec_driver_sql(*args, **kwargs))

    async def run_sync(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a function that blocks on its statements."""
        return await settled(super().run_sync(*args, **kwargs))

    async def close(self) -> None:
        """Gives the connection back to the pool; what is not committed is rolled back."""
        await settled(super().close())


@asynccontextmanager
async def within(transaction: AsyncTransaction) -> AsyncIterator[None]:
    """Commits the transaction at the end, rolls back when the block raises."""
    await settled(transaction.start())
    try:
        yield
    except BaseException:
        await settled(transaction.rollback())
        raise
    await settled(transaction.commit())
