"""The parts of the benchmark that are programs of their own, each with what it needs."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from guarantee.book import Book

BENCH = Path(__file__).resolve().parents[1]


async def gate(book: Book) -> None:
    """Point 5: what a decision of the gate costs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gate.json"
        await _run("gate.py", "--out", str(path))
        found: dict[str, float] = json.loads(path.read_text())
    found["gate_bytes_per_waiting"] = found.pop("bytes_per_waiting")
    book.note(found)


async def scaling(book: Book) -> None:
    """Point 6: how soon an allotment rises. The program writes into the same file."""
    await _run("scaling.py")
    book.read()


PROGRAMS: dict[str, Callable[[Book], Awaitable[None]]] = {"gate_": gate, "scaling_": scaling}


async def _run(program: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, str(BENCH / program), *arguments)
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if status:
        raise RuntimeError(f"bench/{program} failed")
