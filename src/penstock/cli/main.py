"""The penstock command. What a subcommand needs is imported when it runs, so that the others start at once."""

import gc
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.asked_server import server_url
from penstock.cli.audit import audit
from penstock.cli.ledger import bill, ledger
from penstock.cli.load import load
from penstock.cli.marketplace import marketplace
from penstock.cli.models import models
from penstock.cli.plan import plan
from penstock.cli.profile import profile
from penstock.cli.scaling import scaling
from penstock.cli.secrets import secrets

app = typer.Typer(help="A model serving platform that sells tokens per second.", no_args_is_help=True)

app.command()(load)
app.command()(profile)
app.command()(bill)
app.command()(audit)
app.add_typer(ledger, name="ledger")
app.add_typer(models, name="models")
app.add_typer(marketplace, name="marketplace")
app.command()(plan)
app.add_typer(scaling, name="scaling")
app.add_typer(secrets, name="secrets")


@app.command()
def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 is any free one.", show_default="8080")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the database and the model files.", show_default="data")
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="URL of the database.", show_default="SQLite in the data folder")
    ] = None,
    public_url: Annotated[str | None, typer.Option(help="Address by which clients reach the server.")] = None,
    log_format: Annotated[str | None, typer.Option(help="human or json.", show_default="human")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.", show_default="info")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings; see docs/settings.md.")] = None,
) -> None:
    """Start the server."""
    # A start makes hundreds of thousands of objects that stay: looking for garbage among them costs a tenth of it.
    # It is turned on again when the server takes requests.
    gc.disable()
    from penstock.cli.serve import serve as start

    flags = {
        "host": host,
        "port": port,
        "data_dir": data_dir,
        "database": database,
        "public_url": public_url,
        "log_format": log_format,
        "log_level": log_level,
    }
    raise typer.Exit(start({key: value for key, value in flags.items() if value is not None}, config))


@app.command()
def batch(
    endpoint: Annotated[str, typer.Argument(help="Name of the serving endpoint.")],
    rows: Annotated[Path, typer.Argument(help="Rows as JSON lines: request bodies, or lines of an OpenAI batch.")],
    *,
    out: Annotated[Path, typer.Option(help="File of the answers. A batch goes on where this one stops.")],
    url: Annotated[str, typer.Option(envvar=["PENSTOCK_URL", "DATABRICKS_HOST"], help="Address of the server.")],
    token: Annotated[
        str, typer.Option(envvar=["PENSTOCK_TOKEN", "DATABRICKS_TOKEN"], help="Token; better given by its variable.")
    ],
    window: Annotated[int, typer.Option(min=1, max=1024, help="Most rows on their way at a time.")] = 16,
    estimate: Annotated[bool, typer.Option("--estimate", help="Answer a few rows, and say how long all take.")] = False,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Send rows with errors again.")] = False,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for a server that is away.")] = 600,
) -> None:
    """Send a file of rows to an endpoint, behind everything else that it serves."""
    from penstock.batch.run import Wish
    from penstock.cli.batch import batch as run

    wish = Wish(endpoint, rows, out, server_url(url), token, window, estimate, retry_errors, patience)
    raise typer.Exit(run(wish))


@app.command()
def settings() -> None:
    """Print the page of all settings."""
    from penstock.cli.settings_page import settings_page

    print(settings_page(), end="")


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    print(f"penstock {installed('penstock')}")


def main() -> None:
    """Runs the command."""
    app()
