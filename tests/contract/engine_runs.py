"""How tests run engines, ours or vLLM: files of models, and waiting for another process."""

import asyncio


def write(folder, files):
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


async def ready(cluster, client, process, address, log, *, limit_s=60):
    """Once it is healthy; what it wrote if it ends before."""
    async with asyncio.timeout(limit_s):
        while not await client.healthy(address):
            assert await cluster.exit_code(process) is None, await cluster.tail(log, 8192)
            await asyncio.sleep(0.05)
    return process


async def ended(cluster, process):
    async with asyncio.timeout(60):
        while (status := await cluster.exit_code(process)) is None:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    return status
