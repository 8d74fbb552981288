"""`penstock models`: its options. What the commands need is imported when they run."""

from pathlib import Path
from typing import Annotated

import typer

models = typer.Typer(help="Foundation models: what there is, and what of it is on this machine.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name in the catalogue, such as bge_large_en_v1_5, or of its endpoint.")]
DataDir = Annotated[Path | None, typer.Option(help="The server's data folder.", show_default="data")]
Config = Annotated[Path | None, typer.Option(help="The server's TOML file of settings.")]


@models.command(name="list")
def show(
    *,
    here: Annotated[bool, typer.Option("--here", help="Only what is on this machine.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List foundation models, with their endpoints and whether their weights are here."""
    from penstock.cli.models_run import run, show_all

    raise typer.Exit(run(data_dir, config, lambda desk: show_all(desk, here=here)))


@models.command(name="show")
def card(name: Name, *, data_dir: DataDir = None, config: Config = None) -> None:
    """Show one model: repository and commit, licence, endpoint with its limits and prices, system prompt."""
    from penstock.cli.models_run import run, show_one

    raise typer.Exit(run(data_dir, config, lambda desk: show_one(desk, name)))


@models.command()
def pull(
    name: Name,
    *,
    folder: Annotated[
        Path | None, typer.Option("--from", help="A folder with a checkpoint, instead of the hub.")
    ] = None,
    revision: Annotated[
        str, typer.Option(help="Branch, tag or commit of the repository.", show_default="the catalogue's")
    ] = "",
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Bring a model's weights from the Hugging Face Hub; a pull that was interrupted goes on where it stopped."""
    from penstock.cli.models_run import pull_one, run

    raise typer.Exit(run(data_dir, config, lambda desk: pull_one(desk, name, folder, revision)))


@models.command()
def remove(
    name: Name,
    *,
    database: Annotated[
        str | None, typer.Option(help="URL of the database.", show_default="SQLite in the data folder")
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Take a model and its endpoint away, unless somebody's endpoint serves it."""
    from penstock.cli.models_run import remove_one, run

    raise typer.Exit(run(data_dir, config, lambda desk: remove_one(desk, name), database))
