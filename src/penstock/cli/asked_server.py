"""The server that a command asks: what its options say, or else the variables of its user."""

import os
from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:8080"

Url = Annotated[str, typer.Option(help="The server; or PENSTOCK_URL or DATABRICKS_HOST.", show_default=DEFAULT_URL)]
Token = Annotated[str, typer.Option(help="A token; better in PENSTOCK_TOKEN or DATABRICKS_TOKEN.", show_default=False)]


def server_url(given: str) -> str:
    """The address with its scheme: as the platform's own clients read DATABRICKS_HOST, https where none is told."""
    url = given or os.environ.get("PENSTOCK_URL") or os.environ.get("DATABRICKS_HOST") or DEFAULT_URL
    return url if "://" in url else f"https://{url}"


def server_token(given: str) -> str:
    """The token, empty if there is none. Our own variable goes before the platform's, as with the address."""
    return given or os.environ.get("PENSTOCK_TOKEN") or os.environ.get("DATABRICKS_TOKEN") or ""
