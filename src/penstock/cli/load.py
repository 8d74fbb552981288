"""`penstock load`: its options, and the order of its work. What it needs is imported when it runs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.asked_server import Token, Url, server_token, server_url
from penstock.cli.outputs import check_writable
from penstock.domain.errors import InvalidParameter, PenstockError

if TYPE_CHECKING:
    from penstock.load.arrivals import Arrivals
    from penstock.load.report import Report
    from penstock.load.row import Row
    from penstock.load.target import Route, Target
    from penstock.load.workload import Workload

EMBEDDED_TOKENS = 512
"""Of each text, where embeddings are asked for."""

_Path = Annotated[str, typer.Option(help="Where the server's routes begin; /v1 on most others.")]
_Closed = Annotated[str, typer.Option(help="Closed loop: so many at a time, one run each.", show_default="1,2,4,8")]
_Rate = Annotated[float, typer.Option(help="Open loop: requests per second.", show_default=False)]
_Arrivals = Annotated[str, typer.Option(help="Of the open loop: poisson, gamma or constant.")]
_Cv = Annotated[float, typer.Option(help="Coefficient of variation of gamma arrivals: above 1, bursts.")]
_Trace = Annotated[Path | None, typer.Option(help='JSONL of {"t", "input_tokens", "output_tokens"} to replay.')]
_Speed = Annotated[float, typer.Option(help="How many times as fast the trace is replayed.")]
_Rows = Annotated[Path | None, typer.Option(help="JSONL of requests of your own, sent over and over.")]
_Input = Annotated[int | None, typer.Option(help="Tokens of each prompt.", show_default="2048; 512 for embeddings")]
_Output = Annotated[int | None, typer.Option(help="Tokens of each answer.", show_default="256; none for embeddings")]
_Most = Annotated[int, typer.Option(help="max_tokens to ask for; the client hangs up at --output-tokens. 0: the same.")]
_Duration = Annotated[float, typer.Option(help="Seconds of each run.", show_default="60, or the trace's")]
_Chat = Annotated[bool, typer.Option("--chat", help="Ask the chat route, not completions.")]
_Embeddings = Annotated[bool, typer.Option("--embeddings", help="Ask for embeddings: whole answers, no tokens out.")]
_Plain = Annotated[bool, typer.Option("--plain", help="Send standard fields only; answers may end early.")]
_Ttft = Annotated[float, typer.Option(help="Goodput counts requests with the first token within so many seconds.")]
_Tpot = Annotated[float, typer.Option(help="Goodput counts requests with at most so many seconds a token.")]
_Latency = Annotated[float, typer.Option(help="Goodput counts requests answered whole within so many seconds.")]
_Retries = Annotated[int, typer.Option(help="Send again so often when refused, after Retry-After.")]
_Seed = Annotated[int, typer.Option(help="Seed of arrival times.")]
_Png = Annotated[Path | None, typer.Option(help="Write a picture here.")]
_Json = Annotated[Path | None, typer.Option("--json", help="Write the figures here; - is standard output.")]
_Raw = Annotated[Path | None, typer.Option(help="Write a JSONL row for every attempt here.")]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go, beside the terminal; and the limits that goodput is counted by, 0 for none."""

    png: Path | None
    json: Path | None
    raw: Path | None
    slo_ttft: float
    slo_tpot: float
    slo_latency: float

    @property
    def limits(self) -> tuple[float | None, float | None, float | None]:
        """Those of time to first token, per token and in all."""
        return self.slo_ttft or None, self.slo_tpot or None, self.slo_latency or None


def load(  # noqa: PLR0917 - typer calls it by name
    endpoint: Annotated[str, typer.Argument(help="The endpoint's name.")],
    url: Url = "",
    token: Token = "",
    path: _Path = "/serving-endpoints",
    closed: _Closed = "",
    rate: _Rate = 0.0,
    arrivals: _Arrivals = "poisson",
    cv: _Cv = 4.0,
    trace: _Trace = None,
    speed: _Speed = 1.0,
    rows: _Rows = None,
    input_tokens: _Input = None,
    output_tokens: _Output = None,
    max_tokens: _Most = 0,
    duration: _Duration = 0.0,
    chat: _Chat = False,
    embeddings: _Embeddings = False,
    plain: _Plain = False,
    slo_ttft: _Ttft = 0.0,
    slo_tpot: _Tpot = 0.0,
    slo_latency: _Latency = 0.0,
    retries: _Retries = 0,
    seed: _Seed = 0,
    png: _Png = None,
    json: _Json = None,
    raw: _Raw = None,
) -> None:
    """Put load on an endpoint and tell what it did: throughput, latency, refusals, goodput."""
    import asyncio

    outputs = Outputs(png, json, raw, slo_ttft, slo_tpot, slo_latency)
    try:
        _check(duration, png, json, raw)
        route = _route(outputs, chat=chat, embeddings=embeddings)
        target = _target(url, token, endpoint, path, route=route, plain=plain)
        workload = _workload(rows, target, input_tokens, output_tokens, max_tokens)
        if trace is None:
            runs = _plan(closed, rate, arrivals, cv, seed)
            seconds = duration or 60.0
        else:
            runs, workload, seconds = _replayed(trace, speed, duration, others=bool(closed or rate or rows))
        status = asyncio.run(_measure(target, workload, runs, seconds, retries=retries, outputs=outputs))
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("stopped: no report of an unfinished measurement", file=sys.stderr)
        raise typer.Exit(130) from None
    raise typer.Exit(status)


def _check(duration: float, *paths: Path | None) -> None:
    if duration < 0:
        raise InvalidParameter(f"--duration must be positive seconds, but is {duration:g}")
    check_writable(*paths)


async def _measure(
    target: "Target",
    workload: "Workload",
    runs: "list[Arrivals]",
    seconds: float,
    *,
    retries: int,
    outputs: Outputs,
) -> int:
    """Runs one after another, shows and writes the results; 1 if no request was served."""
    from penstock.cli.load_screen import Screen
    from penstock.load.document import document, row_lines
    from penstock.load.plot import draw
    from penstock.load.report import Slo, summarise
    from penstock.load.runner import Retry, prompts_for, run

    target.check(workload)
    slo = Slo(*outputs.limits) if any(outputs.limits) else None
    prompts = await prompts_for(target, workload)
    reports: list[Report] = []
    rows: list[Row] = []
    with Screen(target.endpoint, quiet=str(outputs.json) == "-") as screen:
        for arrivals in runs:
            screen.begin(str(arrivals), seconds)
            results = await run(
                target, workload, arrivals, seconds, prompts=prompts, retry=Retry(retries), seen=screen.seen
            )
            rows.extend(results.rows)
            reports.append(summarise(results, slo))
            screen.end(reports[-1])
    screen.table(reports)
    told = document(target.endpoint, reports)
    if outputs.json is not None:
        _write_json(outputs.json, told)
    if outputs.png is not None:
        draw(outputs.png, reports, target.endpoint)
    if outputs.raw is not None:
        outputs.raw.write_bytes(row_lines(rows))
    return 0 if any(row.served for row in rows) else 1


def _route(outputs: Outputs, *, chat: bool, embeddings: bool) -> "Route":
    from penstock.load.target import Route

    if not embeddings:
        return Route.CHAT if chat else Route.COMPLETIONS
    if chat:
        raise InvalidParameter("--chat and --embeddings exclude each other")
    if outputs.slo_ttft or outputs.slo_tpot:
        raise InvalidParameter(
            "embeddings have no first token: --slo-latency is their limit, not --slo-ttft or --slo-tpot"
        )
    return Route.EMBEDDINGS


def _target(url: str, token: str, endpoint: str, path: str, *, route: "Route", plain: bool) -> "Target":
    from penstock.load.target import Target

    return Target(server_url(url), endpoint, server_token(token), route, path, exact=not plain)


def _workload(
    rows: Path | None, target: "Target", given_in: int | None, given_out: int | None, most: int
) -> "Workload":
    from penstock.domain.profile import REFERENCE_INPUT, REFERENCE_OUTPUT
    from penstock.load.target import Route
    from penstock.load.workload import Ask, Workload, read_rows, uniform

    for name, value in (("--input-tokens", given_in), ("--output-tokens", given_out), ("--max-tokens", most or None)):
        if value is not None and value < 1:
            raise InvalidParameter(f"{name} must be positive, but is {value}")
    if rows is not None:
        return read_rows(rows, given_out or REFERENCE_OUTPUT)
    if target.route is Route.EMBEDDINGS:
        if given_out or most:
            raise InvalidParameter(
                "embeddings have no tokens out: --output-tokens and --max-tokens do not go with them"
            )
        return Workload((Ask(given_in or EMBEDDED_TOKENS, 0),))
    return uniform(given_in or REFERENCE_INPUT, given_out or REFERENCE_OUTPUT, most or None)


def _plan(closed: str, rate: float, kind: str, cv: float, seed: int) -> "list[Arrivals]":
    """The runs: one for each number of parallel requests, or one open loop."""
    from penstock.load.arrivals import Closed, Gaps

    if closed and rate:
        raise InvalidParameter("--closed and --rate exclude each other: a loop is closed or open")
    if rate:
        variation = {"poisson": 1.0, "gamma": cv, "constant": 0.0}.get(kind)
        if variation is None:
            raise InvalidParameter(f'--arrivals must be poisson, gamma or constant, but is "{kind}"')
        return [Gaps(rate, variation, seed)]
    try:
        return [Closed(int(count)) for count in (closed or "1,2,4,8").split(",")]
    except ValueError:
        raise InvalidParameter(
            f'--closed must be numbers with commas between, such as 1,2,4, but is "{closed}"'
        ) from None


def _replayed(trace: Path, speed: float, duration: float, *, others: bool) -> "tuple[list[Arrivals], Workload, float]":
    from penstock.load.arrivals import Replay
    from penstock.load.workload import read_trace

    if others:
        raise InvalidParameter("--trace says when and what is sent: --closed, --rate and --rows do not go with it")
    times, workload = read_trace(trace)
    replay = Replay(times, speed)
    return [replay], workload, duration or times[-1] / speed + 1.0


def _write_json(path: Path, told: object) -> None:
    import json

    text = json.dumps(told, indent=1) + "\n"
    if str(path) == "-":
        print(text, end="")
    else:
        path.write_text(text, encoding="utf-8")
