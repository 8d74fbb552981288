"""OpenAI's Batch API, wired."""

import random
from contextlib import AsyncExitStack

from penstock.adapters.batches.folder import BatchFolder
from penstock.adapters.store.store import SqlStore
from penstock.control.batch_rounds import BatchRound
from penstock.control.batch_worker import BatchWorker
from penstock.control.batches import Batches, BatchLimits
from penstock.control.credentials import new_id
from penstock.control.loop import Loop
from penstock.domain.errors import PenstockError
from penstock.gateway.ask import InProcess
from penstock.gateway.serve import Gateway
from penstock.ports.clock import Clock
from penstock.settings import Settings
from penstock.web.errors import STATUS, error_body
from penstock.web.openai.requests import read as read_body
from penstock.web.openai.requests import read_strictly

DAY_S = 24 * 3600


async def make_batches(
    settings: Settings, store: SqlStore, gateway: Gateway, clock: Clock, stack: AsyncExitStack
) -> tuple[Batches, list[Loop]]:
    """The use cases of batches, and the loop that takes up those of an earlier process."""
    given = settings.batches
    limits = BatchLimits(
        given.max_file_bytes, given.max_rows, given.window, given.running, given.file_days * DAY_S, given.owner_bytes
    )
    files = BatchFolder(settings.data_dir.absolute() / "batches")
    read = read_strictly if settings.gateway.strict else read_body
    inference = InProcess(gateway, read, _told, new_id)
    worker = BatchWorker(BatchRound(store, files, inference, clock, limits, random.random))
    await worker.recover()
    stack.push_async_callback(worker.close)
    loop = Loop("batches", worker.step, clock, period_s=2)
    batches = Batches(store, files, clock, limits=limits, new_id=new_id, hint=loop.hint)
    return batches, [loop, Loop("expired files", batches.expire, clock, period_s=settings.sweep.period_s)]


def _told(error: PenstockError) -> tuple[int, bytes]:
    return STATUS[error.code], error_body(error.code, error.message)
