"""What the gateway costs in front of a model that is hosted elsewhere, beside LiteLLM's proxy and nginx, in one run.

    make bench-external [ARGS="--quick"]

Writes bench/out/external.json and external.png:

    {penstock,litellm,nginx}_c{1,16}_rps   requests per second over so many connections
    penstock_added_p50_ms                  at the median over the upstream itself, at one connection
    stream_added_ttft_p50_ms               the same of the time to the first token, with 200 streams at once, each of 20
                                           chunks per second
    stream_chunks_per_s                    chunks that are passed on for each second of the gateway's processor time
    penstock_cpu_us, litellm_cpu_us        processor time for each request over 16 connections, the ledger included
    rss_mb_at_1k, rss_mb_at_100k           memory after 1,000 requests, and after 100,000, streams among them

All waves take turns and the medians of them count. One core has the gateways, of which one is asked at a time, the
other the upstream and the load. What is on: with Penstock authentication, a limit of calls and tokens for the user, the
ledger; with LiteLLM a key with limits of requests and tokens, enforced by its own limiter, and a line of usage in a
file for each request (bench/external/hooks.py says why not in its database); nginx passes bytes.
"""

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from external import sides
from external.clients import Ask, Count, Wave, counted, streams
from external.figures import Streamed, draw, processor_figures, stream_figures, table, whole_figures
from external.sides import Side
from gateway import CONNECTIONS, LUA, TOKEN, Run, load
from guarantee.machine import is_disturbed, used
from processes import machine

OUT = Path(__file__).resolve().parents[1] / "out"
STREAMS = 200
WARM, MANY = 1_000, 100_000
_T = TypeVar("_T")


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="waves of each kind and side")
    parser.add_argument("--seconds", type=int, default=5, help="of a wave of whole answers; streams take twice as long")
    parser.add_argument("--requests", type=int, default=MANY, help="after which memory is told again")
    parser.add_argument(
        "--without", nargs="*", default=[], choices=["litellm", "nginx"], help="sides that are left out"
    )
    parser.add_argument("--quick", action="store_true", help="one round of short waves, to see that it works")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.seconds, given.requests = 1, 2, min(given.requests, 20_000)
    return given


def main() -> None:
    """Runs it."""
    given = arguments()
    for tool in ("nginx", "wrk", "taskset"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is needed: apt-get install nginx wrk")
    # Who ends the benchmark ends its servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sides.pin()
    folder = Path(tempfile.mkdtemp(prefix="bench-external-"))
    before = used()
    try:
        with ExitStack() as stack:
            figures = bench(given, folder, stack)
    except BaseException:
        for log in sorted(folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}", file=sys.stderr)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    others = before.others(used())
    figures |= {"machine": machine(), "others_cores": round(others, 2), "disturbed": is_disturbed(others)}
    OUT.mkdir(exist_ok=True)
    (OUT / "external.json").write_text(json.dumps(figures, indent=1) + "\n")
    draw(figures, OUT / "external.png")
    print(*table(figures), sep="\n")


def bench(given: argparse.Namespace, folder: Path, stack: ExitStack) -> dict[str, Any]:
    """All figures."""
    direct = sides.upstreams(folder, stack)
    gateways = [sides.penstock(folder, stack, direct)]
    if "litellm" not in given.without:
        gateways.append(sides.litellm(folder, stack, direct))
    figures: dict[str, Any] = {}
    for side in gateways:
        figures[_memory(side, "at_1k")] = _spend(side, WARM)
    others = [] if "nginx" in given.without else [sides.nginx_proxy(folder, stack, direct)]
    asked = [direct, *gateways, *others]
    script = folder / "load.lua"
    script.write_text(LUA.format(body=sides.question(sides.WHOLE, stream=False), token=TOKEN))
    wholes, waves, took, sent = _rounds(given, asked, script)
    figures |= whole_figures(wholes) | stream_figures(waves) | processor_figures(took)
    for side in gateways:
        total = WARM + sent[side.name]
        if side.name == "penstock":
            _fill(side, given.requests - total)
            total = max(total, given.requests)
        figures[f"{side.name}_ledger_rows"] = sides.settled(side, total)
        at = "at_100k" if side.name == "penstock" and total >= MANY else "at_end"
        figures[_memory(side, at)] = round(side.rss_mb(), 1)
        figures[f"{side.name}_requests"] = total
    return figures | {
        "litellm_version": "" if "litellm" in given.without else sides.version(),
        "streams": STREAMS,
        "rounds": given.rounds,
        "seconds": given.seconds,
    }


def _memory(side: Side, at: str) -> str:
    return f"rss_mb_{at}" if side.name == "penstock" else f"{side.name}_rss_mb_{at}"


def _rounds(
    given: argparse.Namespace, asked: list[Side], script: Path
) -> tuple[dict[tuple[str, int], list[Run]], dict[str, list[Streamed]], dict[str, list[float]], dict[str, int]]:
    """Waves of all sides in turn; microseconds that each took for a whole request, and how many it was sent."""
    wholes: dict[tuple[str, int], list[Run]] = {}
    waves: dict[str, list[Streamed]] = {}
    took: dict[str, list[float]] = {}
    sent = dict.fromkeys((side.name for side in asked), 0)
    for _ in range(given.rounds):
        for connections in CONNECTIONS:
            for side in asked:
                before = side.cpu_s()
                run = load(side.whole, connections, script, given.seconds)
                wholes.setdefault((side.name, connections), []).append(run)
                sent[side.name] += run.requests
                sides.calm(side)
                if connections > 1 and side.pid is not None:
                    took.setdefault(side.name, []).append((side.cpu_s() - before) / run.requests * 1e6)
        for side in asked:
            waves.setdefault(side.name, []).append(_stream(side, 2 * given.seconds))
    return wholes, waves, took, sent


def _stream(side: Side, seconds: float) -> Streamed:
    """A wave; a gateway that breaks streams is not measured."""
    fill_s = sides.CHUNKS / sides.RATE
    ask = Ask(side.streams, TOKEN, sides.question(sides.STREAMS, stream=True))
    wave: Wave = _run(streams(ask, STREAMS, fill_s, seconds, side.cpu_s))
    if wave.failures:
        raise sides.SideError(f"{side.name} fails streams: {wave.failures[:3]}")
    times = wave.closed()
    if not times:
        raise sides.SideError(f"{side.name} was asked for no stream in {seconds} s.")
    sides.calm(side)
    return Streamed(times[len(times) // 2] * 1000, wave.chunks, seconds, wave.cpu_s, len(wave.ttft_s) / len(times))


def _spend(side: Side, requests: int) -> float:
    """Sends so many requests, and returns the memory when they are in the ledger."""
    _fill(side, requests)
    sides.settled(side, requests)
    return round(side.rss_mb(), 1)


def _fill(side: Side, requests: int) -> None:
    if requests <= 0:
        return
    ask = Ask(side.whole, TOKEN, sides.question(sides.WHOLE, stream=False))
    count: Count = _run(counted(ask, requests))
    if count.failures or count.done != requests:
        raise sides.SideError(f"{side.name} answered {count.done} of {requests}: {count.failures[:3]}")


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


if __name__ == "__main__":
    main()
