"""`penstock secrets`: its options. What the commands need is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

secrets = typer.Typer(help="Keep the secrets that callers keep here.", no_args_is_help=True)


@secrets.callback()
def _group() -> None:
    """Makes `rotate` a word of its own, as long as it is the only one."""


@secrets.command()
def rotate(
    *,
    data_dir: Annotated[Path | None, typer.Option(help="The server's folder.", show_default="data")] = None,
    database: Annotated[
        str | None, typer.Option(help="URL of the database.", show_default="SQLite in the data folder")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="The server's TOML file of settings.")] = None,
) -> None:
    """Encrypt every secret anew under the master key that is given now, or a new one; while the server is stopped."""
    from penstock.cli.secrets_rotate import run

    given = {"data_dir": data_dir, "database": database}
    raise typer.Exit(run({key: value for key, value in given.items() if value is not None}, config))
