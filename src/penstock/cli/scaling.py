"""`penstock scaling`: its options. What the commands need is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

scaling = typer.Typer(help="Replay traffic through the autoscaler, and show what it decided.", no_args_is_help=True)


@scaling.command()
def replay(
    trace: Annotated[str, typer.Argument(help="A JSONL file, or diurnal, spikes, mmpp or poisson.")] = "",
    *,
    policy: Annotated[str, typer.Option(help="default, quick, steady, mean, or a TOML file.")] = "default",
    chunk: Annotated[float, typer.Option(min=1, help="Tokens/s of a chunk; a profile says it itself.")] = 1000,
    minimum: Annotated[int, typer.Option("--min", min=0, help="Chunks that are always held.")] = 1,
    maximum: Annotated[int, typer.Option("--max", min=1, help="The most chunks.")] = 12,
    slices: Annotated[
        int, typer.Option(min=0, help="Chunks that a device sells.", show_default="the profile's, or the maximum")
    ] = 0,
    devices: Annotated[int, typer.Option(min=1, help="Devices.")] = 1,
    startup: Annotated[
        float | None, typer.Option(min=0, help="Seconds that a replica takes.", show_default="the profile's, or 0")
    ] = None,
    other: Annotated[list[str] | None, typer.Option(help="Somebody else on the devices: KIND:MIN:MAX.")] = None,
    profile: Annotated[Path | None, typer.Option(help="File with the answer of get-model-optimization-info.")] = None,
    ledger: Annotated[str, typer.Option(help="The requests that this endpoint had, instead of TRACE.")] = "",
    since: Annotated[str, typer.Option("--from", help="Of the ledger: from this ISO time.")] = "",
    until: Annotated[str, typer.Option("--to", help="Of the ledger: before this ISO time.")] = "",
    data_dir: Annotated[Path, typer.Option(help="The server's folder, for --ledger.")] = Path("data"),
    database: Annotated[str, typer.Option(help="The server's database, for --ledger.")] = "",
    seconds: Annotated[int, typer.Option(min=60, help="Length of traffic that is made up.")] = 86_400,
    seed: Annotated[int, typer.Option(help="Chance of traffic that is made up.")] = 7,
    changes: Annotated[int, typer.Option(min=0, help="Changes to print.")] = 20,
    png: Annotated[Path | None, typer.Option(help="Draw demand, what was held, and the oracle.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all changes.")] = False,
) -> None:
    """Replay traffic, and compare with an oracle that knows the future."""
    from penstock.cli.scaling_replay import run
    from penstock.cli.scaling_traffic import Wish

    wish = Wish(
        trace, policy, chunk, minimum, maximum, startup, seconds, seed, changes, png, as_json,
        slices, devices, tuple(other or ()), profile, ledger, since, until, data_dir, database,
    )  # fmt: skip
    raise typer.Exit(run(wish))


@scaling.command()
def decisions(
    endpoint: Annotated[str, typer.Argument(help="Name of the serving endpoint.")],
    *,
    url: Annotated[str, typer.Option(envvar=["PENSTOCK_URL", "DATABRICKS_HOST"], help="Address of the server.")],
    token: Annotated[
        str, typer.Option(envvar=["PENSTOCK_TOKEN", "DATABRICKS_TOKEN"], help="Token; better given by its variable.")
    ],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Changes to show.")] = 100,
) -> None:
    """Show how an endpoint's allotment changed, and why."""
    from penstock.cli.scaling_decisions import run

    raise typer.Exit(run(url, token, endpoint, limit))
