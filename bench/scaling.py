"""Scaling, measured: a real server, a real model on the CPU engine, and this machine's cores divided into two devices.

    make bench-scaling [ARGS="--model 4m --repeats 3"]

Adds to bench/out/guarantee.json: milliseconds from a burst to the raised allotment within a device; seconds from the
decision to start a replica on a second device (and from demand for more than a device) until it is allotted any, beside
the start-up time that the profile predicts; and a made-up day, replayed with what was measured here, beside the oracle.
"""

import argparse
import asyncio
import contextlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent))

from guarantee.book import Book
from guarantee.stand import ENDPOINTS, Stand, StandError
from models import SHAPES, Shape, ensure_model
from penstock.domain.scaling import Policy
from penstock.domain.scaling_replay import Ground, Holder, replay
from penstock.domain.scaling_traces import DAY_S, generate

SMALL = Shape("4m", 256, 704, 4, 4, 2, 8192, tied=False)
MODELS = {SMALL.name: SMALL, **SHAPES}
"""A device must sell several chunks: on a core or two that takes a small model."""
OUT = Path(__file__).resolve().parent / "out"
MODEL = "main.default.scaling"
DEVICES = 2
DOWN_S = 6.0
"""The window, shorter than usual: what is measured is the way up, several times."""
TOKENS_IN, TOKENS_OUT = 1024, 64
LOOK_S = 0.1
LONGEST_S = 180.0
SEED = 7


@dataclass(frozen=True, slots=True)
class Known:
    """What the profile says."""

    chunk: int
    slices: int
    startup_s: float
    request_tokens: float


async def prepare(stand: Stand, model: str, devices: int) -> Known:
    """Registers the model, measures it on one device, and sells one chunk of it and as many more as there are."""
    folder = await asyncio.to_thread(ensure_model, MODELS[model], OUT / "models")
    version = await stand.register(MODEL, folder)
    await stand.deploy("probe", MODEL, version, 0, 1000)
    info = await stand.call("GET", f"{ENDPOINTS}/get-model-optimization-info/{MODEL}/{version}")
    await stand.call("DELETE", f"{ENDPOINTS}/probe")
    if int(info["slices"]) == 1:
        raise StandError(f"A device sells one chunk of {model}: a smaller model is needed to see allotments rise.")
    chunk, slices, cost = int(info["throughput_chunk_size"]), int(info["slices"]), info["profile"]["cost"]
    i, o = TOKENS_IN, TOKENS_OUT
    seconds = cost["c"] + cost["a"] * i + cost["e"] * i * i + cost["b"] * o + cost["d"] * o * (i + o / 2)
    await stand.deploy("scaled", MODEL, version, chunk, chunk * slices * devices)
    print(f"{devices} devices: chunk {chunk} tokens/s, {slices} each")
    return Known(chunk, slices, float(info["profile"]["startup_s"]), seconds * float(info["throughput"]))


async def ask(session: aiohttp.ClientSession, stand: Stand, draw: random.Random) -> None:
    """One request of its own prompt; what is refused is not tried again."""
    body = {
        "prompt": [draw.randint(10, 1000) for _ in range(TOKENS_IN)],
        "max_tokens": TOKENS_OUT,
        "ignore_eos": True,
    }
    headers = {"Authorization": f"Bearer {stand.token}"}
    url = f"{stand.url}/serving-endpoints/scaled/invocations"
    async with session.post(url, json=body, headers=headers) as answer:
        await answer.read()


async def decisions(stand: Stand, since: float) -> list[dict[str, Any]]:
    """Decisions since an epoch time, oldest first."""
    found = (await stand.call("GET", f"{ENDPOINTS}/scaled/scaling-decisions?limit=200"))["decisions"]
    return [one for one in reversed(found) if one["timestamp"] >= since * 1000]


async def settled(stand: Stand, known: Known) -> None:
    """Returns when one chunk on one device is all that is left."""
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        [entity] = (await stand.call("GET", f"{ENDPOINTS}/scaled/throughput"))["served_entities"]
        newest = (await stand.call("GET", f"{ENDPOINTS}/scaled/scaling-decisions?limit=1"))["decisions"]
        if entity["allotment"] == known.chunk and (not newest or len(newest[0]["devices"]) == 1):
            return
        await asyncio.sleep(LOOK_S)
    raise StandError(f"The allotment did not come down to the minimum: {entity}, {newest}")


async def within_device(stand: Stand, known: Known, draw: random.Random) -> float:
    """Milliseconds from a burst, which wants some of a device, to the decision that raises the allotment."""
    # Of a burst, ten seconds' arrivals and ten seconds' backlog count: twice its tokens in ten seconds.
    chunks = max(known.slices // 2, 3)
    count = max(round(chunks * known.chunk * 10 / 2 / known.request_tokens), 4)
    async with aiohttp.ClientSession() as session:
        began = time.time()
        requests = [asyncio.create_task(ask(session, stand, draw)) for _ in range(count)]
        await asyncio.gather(*requests)
    for _ in range(round(LONGEST_S / LOOK_S)):
        raised = [one for one in await decisions(stand, began) if one["new"] > one["old"]]
        if raised:
            return float(raised[0]["timestamp"]) - began * 1000
        await asyncio.sleep(LOOK_S)
    raise StandError("The burst did not raise the allotment.")


async def by_replica(stand: Stand, known: Known, draw: random.Random) -> tuple[float, float, float]:
    """Seconds until a second device's replica is allotted any: from demand, from the decision, and as predicted."""
    ends = asyncio.Event()

    async def demand(session: aiohttp.ClientSession) -> None:
        while not ends.is_set():
            await ask(session, stand, draw)
            await asyncio.sleep(LOOK_S)

    one_device = known.chunk * known.slices
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began = time.time()
        tasks = [asyncio.create_task(demand(session)) for _ in range(48)]
        try:
            while time.time() - began < LONGEST_S:
                told = await decisions(stand, began)
                started = [one for one in told if one["kind"] == "started"]
                raised = [one for one in told if one["new"] > one_device * 1.001]
                if started and raised:
                    at = raised[0]["timestamp"] / 1000
                    return at - began, at - started[0]["timestamp"] / 1000, float(started[0]["startup_s"])
                await asyncio.sleep(LOOK_S)
        finally:
            ends.set()
            await asyncio.gather(*tasks)
    raise StandError(f"No second device after {LONGEST_S:g} s: {told}")


def day(known: Known) -> Mapping[str, float]:
    """A made-up day on two devices as they were measured."""
    demand = generate("diurnal", DAY_S, known.chunk, random.Random(SEED).random)
    ground = Ground(known.chunk, known.slices, DEVICES, known.startup_s)
    found = replay(Holder(demand, 1, known.slices * DEVICES), Policy(), ground)
    return {
        "scaling_day_over_chunk_minutes": found.over,
        "scaling_day_under_chunk_minutes": found.under,
        "scaling_day_cost_over_oracle": found.cost_ratio,
    }


async def measure(model: str, repeats: int, budget_s: float) -> dict[str, float]:
    """All figures: within a device on the whole machine, by a replica on its halves."""
    quick, since_demand, slow, predicted = [], [], [], []
    draw = random.Random(SEED)
    async with server(1, budget_s) as stand:
        known = await prepare(stand, model, 1)
        for _ in range(repeats):
            quick.append(await within_device(stand, known, draw))
            print(f"within a device {quick[-1]:.0f} ms")
            await settled(stand, known)
    async with server(DEVICES, budget_s) as stand:
        known = await prepare(stand, model, DEVICES)
        for _ in range(repeats):
            whole, seconds, said = await by_replica(stand, known, draw)
            since_demand.append(whole)
            slow.append(seconds)
            predicted.append(said)
            print(f"by a replica {seconds:.2f} s of {said:.2f} predicted, {whole:.2f} after demand came")
            await settled(stand, known)
    return {
        "scaling_up_within_device_ms": statistics.median(quick),
        "scaling_up_new_replica_s": statistics.median(slow),
        "scaling_up_new_replica_from_demand_s": statistics.median(since_demand),
        "scaling_up_new_replica_predicted_s": statistics.median(predicted),
        **day(known),
    }


@contextlib.asynccontextmanager
async def server(devices: int, budget_s: float) -> AsyncIterator[Stand]:
    """A server whose machine is divided into so many devices."""
    settings = {
        "PENSTOCK_SERVING_DEVICES": str(devices),
        "PENSTOCK_SERVING_PROFILE_BUDGET_S": f"{budget_s:g}",
        "PENSTOCK_SCALING_DOWN_S": f"{DOWN_S:g}",
        "PENSTOCK_SCALING_DOWN_SLOW_S": f"{DOWN_S:g}",
        "PENSTOCK_SCALING_MEAN_S": "10",
    }
    with tempfile.TemporaryDirectory(prefix="scaling-") as folder:
        async with Stand(Path(folder), **settings) as stand:
            yield stand


def main() -> None:
    """Measures, and writes the figures beside those of the guarantee."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(MODELS), default=SMALL.name)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--budget", type=float, default=30, help="seconds for measuring the model")
    parts = parser.parse_args()
    figures = asyncio.run(measure(parts.model, parts.repeats, parts.budget))
    OUT.mkdir(exist_ok=True)
    book = Book(OUT, fresh=False)
    book.note(figures)
    for name, value in figures.items():
        print(f"{name:38} {value:,.3f}")


if __name__ == "__main__":
    main()
