"""Rate limits, measured: a real server, a real model on the CPU engine, and clients that always want more.

    make bench-limits [ARGS="--clients 50 --minutes 3"]

Writes bench/out/limits.json:

    overshoot_tokens_max   most tokens beyond the limit that came in any 60 seconds, as clients saw them come
    bound_tokens           what they may be beyond it: of as many requests as there are clients, by how much their
                           prompts could be longer than they are estimated, whichever prompts were counted before
    unused_share           part of the limit that was not used in a minute, while clients were refused; worst of all
    admitted_us            microseconds to reserve and settle a request with three limits, in a process by itself

Half of the clients stream, and every tenth of their answers is hung up on. A client that is refused comes back after a
moment, sooner than it is told, so that whatever is free is asked for.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent))

from guarantee.stand import ENDPOINTS, Stand, StandError, end_when_told
from models import Shape, ensure_model
from penstock.adapters.clock import SystemClock
from penstock.domain.access import Principal, PrincipalKind
from penstock.domain.model import Task
from penstock.domain.rate_limit import LimitKey, RateLimit
from penstock.domain.routing import EndpointRoute
from penstock.domain.usage import Usage
from penstock.gateway.call import Asked
from penstock.gateway.count import Size
from penstock.gateway.limits import MARGIN, TEMPLATE, Limits
from processes import machine

SMALL = Shape("4m", 256, 704, 4, 4, 2, 8192, tied=False)
OUT = Path(__file__).resolve().parent / "out"
MODEL = "main.default.limited"
NAME = "limited"
WINDOW_S = 60.0
LIMIT = 20_000
LONGEST_PROMPT, LONGEST_ANSWER = 120, 48
COME_BACK_S = 0.25
HUNG_UP = 0.1
SEED = 11
DECISIONS = 20_000


@dataclass
class Seen:
    """What clients saw: tokens as they came, and prompts whose length was told."""

    tokens: list[tuple[float, int]] = field(default_factory=list)
    prompts: list[tuple[int, int]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    answered: int = 0
    failed: list[str] = field(default_factory=list)


def body(draw: random.Random, *, stream: bool) -> dict[str, Any]:
    """A prompt of words, whose tokens nobody knows before, and an answer of some length."""
    words = [f"w{draw.randint(0, 999)}" for _ in range(draw.randint(5, LONGEST_PROMPT))]
    most = draw.randint(8, LONGEST_ANSWER)
    return {"prompt": " ".join(words), "max_tokens": most, "ignore_eos": True, "stream": stream}


async def client(session: aiohttp.ClientSession, stand: Stand, seen: Seen, number: int, ends_at: float) -> None:
    """Asks again and again."""
    draw = random.Random(SEED * 1000 + number)
    streams = number % 2 == 0
    while time.monotonic() < ends_at:
        asked = body(draw, stream=streams)
        headers = {"Authorization": f"Bearer {stand.token}"}
        async with session.post(
            f"{stand.url}/serving-endpoints/{NAME}/invocations", json=asked, headers=headers
        ) as answer:
            if answer.status == 429:
                await answer.read()
                seen.refused.append(time.monotonic())
                await asyncio.sleep(draw.uniform(0, 2 * COME_BACK_S))
                continue
            if answer.status != 200:
                seen.failed.append((await answer.text())[:300])
                continue
            if streams:
                await _stream(answer, seen, asked, hangs_up=draw.random() < HUNG_UP)
            else:
                _counted(seen, asked, (await answer.json())["usage"])
        seen.answered += 1


async def _stream(answer: aiohttp.ClientResponse, seen: Seen, asked: dict[str, Any], *, hangs_up: bool) -> None:
    """Tokens as each event tells them: usage is cumulative."""
    prompt, come = 0, 0
    async for line in answer.content:
        if not line.startswith(b"data: {"):
            continue
        usage = json.loads(line[6:]).get("usage") or {}
        now = time.monotonic()
        if not prompt and usage.get("prompt_tokens"):
            prompt = int(usage["prompt_tokens"])
            seen.tokens.append((now, prompt))
            seen.prompts.append((len(asked["prompt"]), prompt))
        more = int(usage.get("completion_tokens") or 0) - come
        if more > 0:
            come += more
            seen.tokens.append((now, more))
        if hangs_up and come >= asked["max_tokens"] // 2:
            answer.close()
            return


def _counted(seen: Seen, asked: dict[str, Any], usage: dict[str, int]) -> None:
    seen.tokens.append((time.monotonic(), usage["prompt_tokens"] + usage["completion_tokens"]))
    seen.prompts.append((len(asked["prompt"]), usage["prompt_tokens"]))


def overshoot(tokens: list[tuple[float, int]]) -> int:
    """Most tokens beyond the limit in any 60 seconds."""
    ordered, first, used, most = sorted(tokens), 0, 0, 0
    for at, amount in ordered:
        used += amount
        while ordered[first][0] <= at - WINDOW_S:
            used -= ordered[first][1]
            first += 1
        most = max(most, used)
    return max(most - LIMIT, 0)


def unused(seen: Seen, began: float, ends_at: float) -> list[float]:
    """Of each whole minute after the first, in which somebody was refused, the part of the limit that was not used."""
    found, start = [], began + WINDOW_S
    while start + WINDOW_S <= ends_at:
        used = sum(amount for at, amount in seen.tokens if start < at <= start + WINDOW_S)
        if any(start < at <= start + WINDOW_S for at in seen.refused):
            found.append(1 - used / LIMIT)
        start += WINDOW_S
    return found


def bound(seen: Seen, clients: int) -> int:
    """What the requests that can be in flight at once may use beyond what they reserve.

    Estimates go by a mean of what earlier prompts had: it cannot be worse than the one with most characters a token.
    """
    most = max(size / told for size, told in seen.prompts)
    estimates = [(int((1 + int(size / most)) * MARGIN) + TEMPLATE, told) for size, told in seen.prompts]
    beyond = sorted((max(told - estimate, 0) for estimate, told in estimates), reverse=True)
    return sum(beyond[:clients])


async def decide() -> float:
    """Microseconds for a request to be let in and settled, with a limit of the endpoint, a group and a call count."""
    limits = Limits(SystemClock())
    route = EndpointRoute(
        "e", NAME, "boss", Task.COMPLETIONS, (), (),
        limits=(RateLimit(calls=10**9, tokens=10**12), RateLimit(LimitKey.USER_GROUP, "g", tokens=10**12)),
    )  # fmt: skip
    limits.publish(route)
    who = Principal("1", "ann", "Ann", PrincipalKind.USER, frozenset({"g"}))
    asked, size = Asked(False, "", 100, False, 64), Size(25, 64)
    began = time.perf_counter()
    for _ in range(DECISIONS):
        held = await limits.enter(route, who, asked, size)
        limits.leave(held, Usage(25, 64), sent=True, whole=True)
    return (time.perf_counter() - began) / DECISIONS * 1e6


async def measure(clients: int, minutes: float) -> dict[str, Any]:
    """All figures."""
    end_when_told()
    admitted_us = await decide()
    model = await asyncio.to_thread(ensure_model, SMALL, OUT / "models")
    with tempfile.TemporaryDirectory(prefix="limits-") as folder:
        async with Stand(Path(folder), PENSTOCK_SERVING_PROFILE_BUDGET_S="20") as stand:
            version = await stand.register(MODEL, model)
            await stand.deploy("probe", MODEL, version, 0, 1000)
            info = await stand.call("GET", f"{ENDPOINTS}/get-model-optimization-info/{MODEL}/{version}")
            await stand.call("DELETE", f"{ENDPOINTS}/probe")
            chunk = int(info["throughput_chunk_size"])
            await stand.deploy(NAME, MODEL, version, chunk, chunk * int(info["slices"]))
            limit = {"key": "endpoint", "tokens": LIMIT, "renewal_period": "minute"}
            await stand.call("PUT", f"{ENDPOINTS}/{NAME}/ai-gateway", {"rate_limits": [limit]})
            await asyncio.sleep(1)
            seen, began = Seen(), time.monotonic()
            ends_at = began + minutes * WINDOW_S + 1
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
                await asyncio.gather(*(client(session, stand, seen, one, ends_at) for one in range(clients)))
    shares = unused(seen, began, ends_at)
    if not shares:
        raise StandError(f"Nobody was refused in a whole minute: {seen.failed[:1]}")
    return {
        "overshoot_tokens_max": overshoot(seen.tokens),
        "bound_tokens": bound(seen, clients),
        "unused_share": round(max(shares), 4),
        "admitted_us": round(admitted_us, 2),
        "limit_tokens": LIMIT,
        "clients": clients,
        "answered": seen.answered,
        "refused": len(seen.refused),
        "failed": len(seen.failed),
        "machine": machine(),
    }


def main() -> None:
    """Runs it and writes bench/out/limits.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=3)
    given = parser.parse_args()
    if given.minutes < 2:
        parser.error("--minutes must be at least 2")
    found = asyncio.run(measure(given.clients, given.minutes))
    OUT.mkdir(exist_ok=True)
    (OUT / "limits.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
