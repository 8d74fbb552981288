"""`penstock plan`: its options, and the order of its work. What it needs is imported when it runs."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.asked_server import Token, Url, server_token, server_url
from penstock.cli.outputs import check_writable
from penstock.domain.errors import InvalidParameter, PenstockError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.domain.purchase import Candidate, Target
    from penstock.domain.simulated_market import Arrival, Market

_Trace = Annotated[Path | None, typer.Argument(help='JSONL of {"t", "input_tokens", "output_tokens"}.')]
_Ledger = Annotated[str, typer.Option(help="Take the requests that this endpoint had, from the ledger.")]
_From = Annotated[str, typer.Option("--from", help="Of the ledger: from this ISO time.", show_default="the beginning")]
_To = Annotated[str, typer.Option("--to", help="Of the ledger: before this ISO time.", show_default="now")]
_Data = Annotated[Path, typer.Option(help="The server's folder, for --ledger.")]
_Database = Annotated[str, typer.Option(help="The server's database, for --ledger.", show_default="in the folder")]
_Rate = Annotated[float, typer.Option(help="A mix instead of a trace: requests per second.", show_default=False)]
_Shape = Annotated[list[str] | None, typer.Option(help="Of the mix: IN:OUT:PART, once for each shape.")]
_Input = Annotated[int | None, typer.Option(help="Tokens of each prompt, where all are alike.", show_default="2048")]
_Output = Annotated[int | None, typer.Option(help="Tokens of each answer, where all are alike.", show_default="256")]
_Cv = Annotated[float, typer.Option(help="Coefficient of variation of the mix's gaps: 1 is Poisson, more bursts.")]
_Duration = Annotated[float, typer.Option(help="Seconds of the mix.")]
_Seed = Annotated[int, typer.Option(help="Seed of the mix.")]
_Profile = Annotated[Path | None, typer.Option(help="File with the answer of get-model-optimization-info.")]
_Model = Annotated[str, typer.Option(help="NAME/VERSION whose profile to ask the server for.", show_default=False)]
_Ttft = Annotated[float, typer.Option(help="Target: 99 % have their first token within so many seconds.")]
_Served = Annotated[float, typer.Option(help="Target: this part of the requests is served.")]
_Replicas = Annotated[int, typer.Option(help="Replicas that there may be at most.")]
_Idle = Annotated[bool, typer.Option("--idle-neighbours", help="Nobody else uses the devices: what is idle is lent.")]
_Asleep = Annotated[float, typer.Option("--idle", help="A minimum of 0 scales to zero after so many idle seconds.")]
_Price = Annotated[float, typer.Option(help="Price of a chunk-hour.", show_default="chunk-hours only")]
_Png = Annotated[Path | None, typer.Option(help="Write a picture here.")]
_Json = Annotated[Path | None, typer.Option("--json", help="Write the plan here; - is standard output.")]


def plan(  # noqa: PLR0917 - typer calls it by name
    trace: _Trace = None,
    ledger: _Ledger = "",
    since: _From = "",
    until: _To = "",
    data_dir: _Data = Path("data"),
    database: _Database = "",
    rate: _Rate = 0.0,
    shape: _Shape = None,
    input_tokens: _Input = None,
    output_tokens: _Output = None,
    cv: _Cv = 1.0,
    duration: _Duration = 600.0,
    seed: _Seed = 0,
    profile: _Profile = None,
    model: _Model = "",
    url: Url = "",
    token: Token = "",
    ttft_p99: _Ttft = 1.0,
    served: _Served = 0.99,
    max_replicas: _Replicas = 2,
    idle_neighbours: _Idle = False,
    idle: _Asleep = 1800.0,
    price: _Price = 0.0,
    png: _Png = None,
    json: _Json = None,
) -> None:
    """Find the band to buy: simulate a trace, a past period or a mix with the code that serves."""
    from penstock.cli.plan_sources import check, from_file, from_ledger, from_mix, mix_of
    from penstock.domain.purchase import Target

    try:
        described = bool(shape) or input_tokens is not None or output_tokens is not None
        _check_source((trace is not None, bool(ledger), bool(rate)), described=described)
        _check(max_replicas, price, (png, json))
        target = Target(ttft_p99, served)
        market = _market(profile, model, url, token, idle, busy=not idle_neighbours)
        arrivals: Sequence[Arrival]
        if trace is not None:
            arrivals = from_file(trace)
        elif ledger:
            arrivals = from_ledger(database, data_dir, ledger, since, until)
        else:
            mix = mix_of(shape or (), input_tokens, output_tokens, seed + 1)
            arrivals = from_mix(rate, cv, mix, duration, seed)
        check(arrivals, market)
        kept = _tell(arrivals, market, target, market.chunks.slices * max_replicas, (price, png, json))
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        raise typer.Exit(1) from None
    raise typer.Exit(0 if kept else 2)


def _check_source(given: tuple[bool, bool, bool], *, described: bool) -> None:
    """Of a trace, the ledger and a rate one is `given`; sizes that are `described` are those of the last."""
    if sum(given) != 1:
        raise InvalidParameter("give one of TRACE, --ledger ENDPOINT and --rate")
    if described and not given[-1]:
        raise InvalidParameter("--shape, --input-tokens and --output-tokens describe a mix, and go with --rate")


def _check(replicas: int, price: float, written: "Sequence[Path | None]") -> None:
    """Before the long part: raises InvalidParameter for what would fail after it."""
    if replicas < 1:
        raise InvalidParameter(f"--max-replicas must be at least 1, but is {replicas}")
    if not (price >= 0 and math.isfinite(price)):
        raise InvalidParameter(f"--price must not be negative, but is {price:g}")
    check_writable(*written)


def _market(file: Path | None, model: str, url: str, token: str, idle_s: float, *, busy: bool) -> "Market":
    from penstock.cli.plan_sources import market_from_file, market_from_server
    from penstock.domain.scaling import Policy

    if (file is None) == (not model):
        raise InvalidParameter("give one of --profile FILE and --model NAME/VERSION")
    if not idle_s > 0:
        raise InvalidParameter(f"--idle must be positive seconds, but is {idle_s:g}")
    policy = Policy(idle_s=idle_s)
    if file is not None:
        return market_from_file(file, policy, busy=busy)
    return market_from_server(server_url(url), server_token(token), model, policy, busy=busy)


def _tell(
    arrivals: "Sequence[Arrival]",
    market: "Market",
    target: "Target",
    most: int,
    wish: tuple[float, Path | None, Path | None],
) -> bool:
    """Searches, shows and writes; whether the target can be kept."""
    from rich.console import Console
    from rich.progress import Progress

    from penstock.cli.plan_report import document, draw, show, write
    from penstock.domain.purchase import appraise, cheapest
    from penstock.domain.simulated_market import Band
    from penstock.domain.simulation import Simulation

    price, png, json = wish
    with Progress(console=Console(stderr=True), transient=True) as progress:

        def simulate(band: Band) -> "Candidate":
            task = progress.add_task(f"{band.minimum} to {band.maximum} chunks", total=1.0)
            run = Simulation(market, band, lambda done: progress.update(task, completed=done)).run(arrivals)
            progress.update(task, completed=1.0)
            return appraise(band, run, market.chunks.chunk)

        best, kept = cheapest(simulate, target, most)
    told = document(best, target, market.chunks, kept=kept, price=price)
    if str(json) != "-":
        show(Console(highlight=False), told)
    if json is not None:
        write(json, told)
    if png is not None:
        draw(png, best, market.chunks.chunk)
    return kept
