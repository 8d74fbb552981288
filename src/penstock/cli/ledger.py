"""`penstock ledger`: its options. What the commands need is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

ledger = typer.Typer(help="Check the ledger, and report what was promised and attained.", no_args_is_help=True)

Database = Annotated[str | None, typer.Option(help="URL of the database.", show_default="SQLite in the data folder")]
DataDir = Annotated[Path | None, typer.Option(help="The server's data folder.", show_default="data")]
Config = Annotated[Path | None, typer.Option(help="The server's TOML file of settings.")]
Endpoint = Annotated[str, typer.Argument(help="Name or id of the endpoint.")]
Since = Annotated[str, typer.Option("--from", help="Beginning, such as 2026-11-21T14:00; UTC if it says no zone.")]
Until = Annotated[str, typer.Option("--to", help="End, not included.")]


@ledger.command()
def verify(
    *,
    database: Database = None,
    data_dir: DataDir = None,
    config: Config = None,
    head: Annotated[str, typer.Option(help="NUMBER:HASH as a check before told; finds an end that was cut off.")] = "",
) -> None:
    """Recompute the chain and every sum from the requests' rows; 1 if anything is not as it was written."""
    from penstock.cli.ledger_source import read
    from penstock.cli.ledger_verify import job

    raise typer.Exit(read(database, data_dir, config, job(head)))


@ledger.command()
def report(
    endpoint: Endpoint,
    since: Since,
    until: Until,
    *,
    by: Annotated[str, typer.Option(help="minute or hour.", show_default="minute up to three hours")] = "",
    csv: Annotated[Path | None, typer.Option(help="Write the table to a CSV file too.")] = None,
    png: Annotated[Path | None, typer.Option(help="Draw promised and attained.")] = None,
    database: Database = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Print promised against attained tokens per second, with percentiles and breaches."""
    from penstock.cli.ledger_report import Wish, job
    from penstock.cli.ledger_source import read

    raise typer.Exit(read(database, data_dir, config, job(Wish(endpoint, since, until, by, csv, png))))


@ledger.command()
def requests(
    endpoint: Endpoint,
    since: Since,
    until: Until,
    *,
    trace: Annotated[str, typer.Option(help="Only those of the trace with this id, 32 hexadecimal digits.")] = "",
    limit: Annotated[int, typer.Option(help="How many to print, the last ones; a file gets all.", min=1)] = 50,
    csv: Annotated[Path | None, typer.Option(help="Write all of them to a CSV file.")] = None,
    database: Database = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List requests with what each was predicted to take and took, how long it waited, and why."""
    from penstock.cli.ledger_requests import Wish, job
    from penstock.cli.ledger_source import read

    raise typer.Exit(read(database, data_dir, config, job(Wish(endpoint, since, until, trace, limit, csv))))


def bill(
    since: Since,
    until: Until,
    prices: Annotated[Path, typer.Option(help="A TOML file of prices; see docs/ledger.md.")],
    *,
    csv: Annotated[Path | None, typer.Option(help="Write the bill to a CSV file too.")] = None,
    hours: Annotated[Path | None, typer.Option(help="Write what it adds up from, hour by hour, to a CSV file.")] = None,
    database: Database = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Print what the ledger comes to: the highest band of each hour in chunk-hours, and tokens paid singly."""
    from penstock.cli.bill import Wish, job
    from penstock.cli.ledger_source import read

    raise typer.Exit(read(database, data_dir, config, job(Wish(since, until, prices, csv, hours))))
