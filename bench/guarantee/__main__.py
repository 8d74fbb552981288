"""The guarantee, measured: a real server, a real model on the CPU engine, and neighbours that behave badly.

    make bench-guarantee [ARGS="--only neighbour_ many_"]

Writes bench/out/guarantee.json, flat, and a report with pictures, bench/out/guarantee.md. 90 % of a device is sold to
tenants that share it; see docs/guarantee.md. Figures of earlier runs are kept beside the new ones, so that parts can
be measured one by one: those measured again are replaced.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guarantee.book import Book
from guarantee.market import Market, Way, profile_figures, told
from guarantee.points import PARTS
from guarantee.programs import PROGRAMS
from guarantee.report import write
from guarantee.stand import Stand, end_when_told
from guarantee.trial import WINDOW_S, Trial
from models import ROOMY

OUT = Path(__file__).resolve().parents[1] / "out"
NAMES = [*PARTS, *PROGRAMS]


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=66, help="of each run that count, from 60 on")
    parser.add_argument("--modest-seconds", type=float, default=40, help="of runs below the allotment")
    parser.add_argument("--only", nargs="*", default=[], choices=NAMES, metavar="PART", help=" ".join(NAMES))
    parser.add_argument("--model", choices=list(ROOMY), default="32m", help="the one that all scenarios have")
    parser.add_argument("--repeats", type=int, default=2, help="most repetitions of a disturbed run")
    ways = [way.name.lower() for way in Way]
    parser.add_argument(
        "--ways", nargs="+", choices=ways, default=ways, help="through what, of neighbour_ and the like"
    )
    parser.add_argument("--budget", type=float, default=60, help="seconds for measuring a model")
    parser.add_argument("--fresh", action="store_true", help="forget the figures of earlier runs")
    parser.add_argument("--report", action="store_true", help="write the report of what there is, measure nothing")
    return parser.parse_args()


async def measure(names: list[str], parts: argparse.Namespace, book: Book, console: Console) -> None:
    """Measures these parts, one after another, on a server of their own."""
    with tempfile.TemporaryDirectory(prefix="guarantee-") as folder:
        settings = {
            "PENSTOCK_SERVING_PROFILE_BUDGET_S": str(parts.budget),
            # Without the gate everything waits in the engine.
            "PENSTOCK_GATEWAY_REPLICA_MAX_QUEUE": "100000",
        }
        async with Stand(Path(folder), **settings) as stand:
            market = Market(stand, OUT / "models", console.print, parts.repeats)
            console.print("measuring the model")
            ware = await market.ware(parts.model)
            console.print(told(ware))
            trial = Trial(
                market, book, console, parts.seconds, parts.modest_seconds, parts.model, repeats=parts.repeats
            )
            trial.ways = tuple(Way[name.upper()] for name in parts.ways)
            book.note(profile_figures(ware))
            for name in names:
                await PARTS[name](trial)


async def main() -> None:
    """Measures, and writes the report also when a part fails."""
    parts = arguments()
    end_when_told()
    console = Console(width=220, highlight=False)
    book = Book(OUT, fresh=parts.fresh)
    if parts.seconds <= WINDOW_S:
        console.print(f"[yellow]runs of {parts.seconds:g} s hold no window of {WINDOW_S:g} s[/yellow]")
    names = [] if parts.report else parts.only or NAMES
    began = time.monotonic()
    try:
        for name in [name for name in PROGRAMS if name in names]:
            await PROGRAMS[name](book)
        served = [name for name in names if name in PARTS]
        if served:
            await measure(served, parts, book, console)
    finally:
        path = write(book)
        console.print(f"{(time.monotonic() - began) / 60:.1f} minutes; figures in {book.path}, report in {path}")


if __name__ == "__main__":
    asyncio.run(main())
