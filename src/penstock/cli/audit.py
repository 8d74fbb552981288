"""`penstock audit`: its options. What it needs is imported when it runs."""

from typing import Annotated

import typer


def audit(
    *,
    url: Annotated[str, typer.Option(envvar="PENSTOCK_URL", help="Address of the server.")],
    token: Annotated[str, typer.Option(envvar="PENSTOCK_TOKEN", help="Token; better given by its variable.")],
    principal: Annotated[str, typer.Option(help="Only what this user or service principal did.")] = "",
    object_type: Annotated[str, typer.Option(help="Only this kind of object, such as serving-endpoints.")] = "",
    object_name: Annotated[str, typer.Option(help="Only the object of this name.")] = "",
    result: Annotated[str, typer.Option(help="Only what was done, refused or failed.")] = "",
    since: Annotated[str, typer.Option("--from", help="Only from this ISO time on.")] = "",
    until: Annotated[str, typer.Option("--to", help="Only before this ISO time.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Most entries, the newest.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines with everything.")] = False,
) -> None:
    """Show who did what to which object, from where, and what came of it; newest last. For administrators."""
    from penstock.cli.audit_table import run

    names = {"principal": principal, "object_type": object_type, "object_name": object_name, "result": result}
    wanted = {name: value for name, value in names.items() if value}
    raise typer.Exit(run(url, token, wanted, (since, until), limit=limit, as_json=as_json))
