"""`penstock profile`: measures a version on a running server, and shows what came out."""

import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from penstock.cli.asked_server import Token, Url, server_token, server_url
from penstock.domain.errors import EngineFailed, InvalidParameter, PenstockError

POLL_S = 0.5
_WIDTH, _HEIGHT = 72, 16

_Budget = Annotated[float | None, typer.Option(help="Seconds it may take.", show_default="the server's setting")]
_Wait = Annotated[float | None, typer.Option(help="Seconds it may wait until the device is idle.", show_default="30")]
_Precision = Annotated[str, typer.Option(help="int8 or bf16.", show_default="the engine's")]
_Show = Annotated[bool, typer.Option("--show", help="Show the profile there is; measure nothing.")]
_Png = Annotated[Path | None, typer.Option(help="Write a picture of the curve here.")]


def profile(
    model: Annotated[str, typer.Argument(help="The model's full name.")],
    version: Annotated[int, typer.Argument(help="The number of the version.")],
    *,
    budget: _Budget = None,
    wait: _Wait = None,
    precision: _Precision = "",
    show: _Show = False,
    url: Url = "",
    token: Token = "",
    png: _Png = None,
) -> None:
    """Measure a model version, and show its throughput-latency curve and cost.

    A replica that serves it is used while nobody else uses the device; without one, an engine is started for it.
    """
    key = server_token(token)
    address = f"{server_url(url).rstrip('/')}/api/2.0/serving-endpoints/profiles/{model}/{version}"
    asked = {"budget_s": budget, "wait_s": wait, "precision": precision or None}
    look = f"{address}?{urlencode({'precision': precision})}" if precision else address
    console = Console()
    try:
        found = _call(look, key) if show else _measure(_call(address, key, asked), look, key, console)
    except PenstockError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(1) from error
    if found["profile"] is None:
        typer.echo(f"Version {version} of {model} has no profile yet.", err=True)
        raise typer.Exit(1)
    _print(found["profile"], console)
    if png is not None:
        draw(found["profile"], f"{model}/{version}", png)


def _measure(found: dict[str, Any], address: str, token: str, console: Console) -> dict[str, Any]:
    """Waits for the end of a measurement that was begun; raises EngineFailed if it failed."""
    with Progress(console=console) as bar:
        task = bar.add_task("measuring", total=1.0)
        while found["progress"] is not None:
            bar.update(task, completed=found["progress"], description=found["doing"] or "measuring")
            time.sleep(POLL_S)
            found = _call(address, token)
        bar.update(task, completed=1.0)
    if found["failure"]:
        raise EngineFailed(f"It could not be measured: {found['failure']}")
    return found


def _call(address: str, token: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """GET, or POST with a body; raises PenstockError in the server's words."""
    import json
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    if not address.startswith(("http://", "https://")):
        raise InvalidParameter("The server's address must begin with http:// or https://.")
    request = Request(  # noqa: S310 - the scheme was looked at
        address,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=60) as answer:  # noqa: S310 - the scheme was looked at
            read: dict[str, Any] = json.load(answer)
            return read
    except HTTPError as error:
        said = error.read().decode(errors="replace")
        try:
            said = json.loads(said)["message"]
        except (ValueError, KeyError, TypeError):
            said = said or str(error)
        raise PenstockError(said) from error
    except (URLError, OSError) as error:
        raise PenstockError(f"{address} does not answer: {error}") from error


def _print(found: dict[str, Any], console: Console) -> None:
    shape = f"{found['input_tokens']} in, {found['output_tokens']} out"
    table = Table(title=f"{found['engine']}, {found['precision']}, {found['device']}")
    for heading in ("parallel", "tokens/s", "latency s", "TTFT s", ""):
        table.add_column(heading, justify="right")
    for point in found["curve"]:
        marks = " ".join(mark for mark in ("scaled", "short") if point[mark])
        marks = f"knee {marks}" if point["parallel"] == found["knee"] else marks
        numbers = (f"{point['tokens_per_s']:,.0f}", f"{point['latency_s']:.3f}", f"{point['ttft_s']:.3f}")
        table.add_row(str(point["parallel"]), *numbers, marks.strip())
    console.print(table)
    if any(point["short"] for point in found["curve"]):
        console.print("short: counted for less than three times as long as a request is in flight")
    scaled = "; scaled: the budget was too short for whole requests" if found["scaled"] else ""
    console.print(f"T {found['throughput']:,.0f} tokens/s at {found['knee']} parallel requests of {shape}{scaled}")
    console.print(f"sold in {found['slices']} chunks of {found['throughput_chunk_size']:,} tokens/s")
    console.print("cost  " + "  ".join(f"{name} {value:.3g}" for name, value in found["cost"].items()))
    console.print(f"error of the fit {found['cost_error']:.1%}; {_held_out(found)}")
    console.print(f"start-up {found['startup_s']:.1f} s, memory {found['memory'] / 2**20:,.0f} MiB")
    if found["stale"]:
        console.print(f"to be measured again when the device is idle: {found['stale']}")
    _chart(found, console)


def _held_out(found: dict[str, Any]) -> str:
    if found["held_out_mean"] is None:
        return "no time was left for held-out shapes"
    return f"on held-out shapes {found['held_out_mean']:.1%} on average, {found['held_out_worst']:.1%} at worst"


def _chart(found: dict[str, Any], console: Console) -> None:
    """The curve in characters; nothing where they cannot be shown."""
    if len(found["curve"]) > 1 and console.is_terminal:
        print(in_characters(found))


def in_characters(found: dict[str, Any]) -> str:
    """Throughput over parallel requests, of two points at least, with the knee, a chunk, and the error in the title."""
    import plotext

    parallel = [point["parallel"] for point in found["curve"]]
    rates = [point["tokens_per_s"] for point in found["curve"]]
    knee, chunk = found["knee"], found["throughput_chunk_size"]
    figure = plotext.figure
    figure.clear()
    for x, y, marker, label in (
        ([parallel[0], parallel[-1]], [chunk, chunk], "-", f"chunk {chunk:,}"),
        ([knee, knee], [0, max(rates)], "|", f"knee {knee}"),
        (parallel, rates, "o", "tokens/s"),
    ):
        figure.draw(figure.signal(x, y, marker=marker).lines().label(label))
    figure.plot_size(_WIDTH, _HEIGHT)
    mean, worst = found["held_out_mean"], found["held_out_worst"]
    error = "" if mean is None else f"; error {mean:.1%}, {worst:.1%} at worst"
    figure.title(f"tokens/s over parallel requests{error}")
    return str(plotext.uncolorize(str(figure.build())))


def draw(found: dict[str, Any], title: str, path: Path) -> None:
    """Throughput and latency over parallel requests, with the knee marked, as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    parallel = [point["parallel"] for point in found["curve"]]
    axes.plot(parallel, [point["tokens_per_s"] for point in found["curve"]], marker="o", label="tokens/s")
    axes.axvline(found["knee"], linestyle=":", color="grey", label=f"knee: {found['knee']}")
    axes.axhline(found["throughput_chunk_size"], linestyle="--", color="green", label="chunk")
    axes.set(xlabel="parallel requests", ylabel="tokens/s", ylim=(0, None))
    axes.set_xscale("log", base=2)
    axes.set_title(f"{title}\nT {found['throughput']:,.0f} tokens/s; {_held_out(found)}", fontsize=10)
    beside = axes.twinx()
    beside.plot(parallel, [point["latency_s"] for point in found["curve"]], marker="s", color="C1", label="latency")
    beside.set(ylabel="seconds", ylim=(0, None))
    figure.legend(loc="lower right", bbox_to_anchor=(0.88, 0.12))
    figure.savefig(path, dpi=120)
