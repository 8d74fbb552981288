"""`penstock marketplace`: its options. What the commands need is imported when they run."""

from typing import Annotated

import typer

marketplace = typer.Typer(
    help="Find models at hubs, see how they would do on a server, and install them there.", no_args_is_help=True
)

Url = Annotated[str, typer.Option(envvar="PENSTOCK_URL", help="Address of the server.")]
Token = Annotated[str, typer.Option(envvar="PENSTOCK_TOKEN", help="Token; better given by its variable.")]
Repository = Annotated[str, typer.Argument(help="Repository at the hub, such as BAAI/bge-base-en-v1.5.")]
Source = Annotated[str, typer.Option(help="Address of one hub.", show_default="all, or the first")]
Revision = Annotated[str, typer.Option(help="Branch, tag or commit.")]
InstallId = Annotated[str, typer.Argument(help="Id of the installation.")]


@marketplace.command()
def search(
    words: Annotated[str, typer.Argument(help="Words of the name.")] = "",
    *,
    url: Url,
    token: Token,
    family: Annotated[str, typer.Option(help="Architecture, such as llama.")] = "",
    task: Annotated[str, typer.Option(help="chat, completions or embeddings.")] = "",
    licence: Annotated[str, typer.Option(help="Licence, such as apache-2.0.")] = "",
    min_parameters: Annotated[int, typer.Option(min=0, help="Least parameters.")] = 0,
    max_parameters: Annotated[int, typer.Option(min=0, help="Most parameters; 0: any.")] = 0,
    source: Source = "",
    limit: Annotated[int, typer.Option(min=1, max=100, help="Most results.")] = 20,
) -> None:
    """Search the server's hubs."""
    from penstock.cli.marketplace_run import run, search_all

    asked = {
        "search": words,
        "family": family,
        "task": task,
        "licence": licence,
        "min_parameters": min_parameters,
        "max_parameters": max_parameters,
        "source": source,
        "limit": limit,
    }
    raise typer.Exit(run(url, token, lambda server: search_all(server, asked)))


@marketplace.command()
def show(
    repository: Repository,
    *,
    url: Url,
    token: Token,
    revision: Revision = "main",
    source: Source = "",
    card: Annotated[bool, typer.Option("--card", help="Print the repository's own text too.")] = False,
) -> None:
    """Show a model: its files, and whether it fits the server and what it would do there."""
    from penstock.cli.marketplace_run import run, show_one

    raise typer.Exit(run(url, token, lambda server: show_one(server, repository, revision, source, card=card)))


@marketplace.command()
def install(
    repository: Repository,
    name: Annotated[str, typer.Argument(help="Where to: CATALOG.SCHEMA.MODEL.")],
    *,
    url: Url,
    token: Token,
    task: Annotated[str, typer.Option(help="chat, completions or embeddings.")],
    revision: Revision = "main",
    source: Source = "",
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
) -> None:
    """Install a model on the server, which brings it; Ctrl-C stops the watching, not the installation."""
    from penstock.cli.marketplace_run import install_one, run

    levels = name.split(".")
    if len(levels) != 3 or not all(levels):  # noqa: PLR2004 - catalog, schema, model
        raise typer.BadParameter(f"'{name}' is not CATALOG.SCHEMA.MODEL.", param_hint="NAME")
    wish = {
        "repository": repository,
        "catalog_name": levels[0],
        "schema_name": levels[1],
        "model_name": levels[2],
        "task": task,
        "revision": revision,
        "source": source,
    }
    raise typer.Exit(run(url, token, lambda server: install_one(server, wish, detach=detach)))


@marketplace.command(name="list")
def show_installs(*, url: Url, token: Token) -> None:
    """List installations."""
    from penstock.cli.marketplace_run import list_all, run

    raise typer.Exit(run(url, token, list_all))


@marketplace.command()
def cancel(install_id: InstallId, *, url: Url, token: Token) -> None:
    """Stop an installation; what has come is kept."""
    from penstock.cli.marketplace_run import change, run

    raise typer.Exit(run(url, token, lambda server: change(server, install_id, "cancel")))


@marketplace.command()
def resume(install_id: InstallId, *, url: Url, token: Token) -> None:
    """Go on with an installation that was cancelled or failed."""
    from penstock.cli.marketplace_run import resume_one, run

    raise typer.Exit(run(url, token, lambda server: resume_one(server, install_id)))
