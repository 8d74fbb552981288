"""The documentation names every route, error code, engine metric and command."""

import re
from pathlib import Path

from typer.main import get_command

from penstock.cli.main import app
from penstock.web.app import Site
from penstock.web.errors import STATUS
from penstock_engine.metrics import Metrics

DOCS = Path(__file__).parents[2] / "docs"


def rows(site: Site) -> list[str]:
    """A line for each route, as docs/api.md has them; a path and its twin with a slash are one."""
    found = {(route.path.rstrip("/") or "/", route.method, route.access.value) for route in site.routes}
    return [f"| `{method} {path}` | {access} |" for path, method, access in sorted(found)]


def test_every_route_is_in_the_reference_and_nothing_else(site: Site):
    listed = re.findall(r"^\| `[A-Z]+ /.*$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert listed == rows(site)


def test_every_error_code_is_explained():
    listed = dict(re.findall(r"^\| `([A-Z_]+)` \| (\d+) \|", (DOCS / "api.md").read_text(), re.MULTILINE))
    assert listed == {code: str(status) for code, status in STATUS.items()}


def test_every_engine_metric_is_named():
    text = (DOCS / "operations.md").read_text()
    families = set(re.findall(r"^# TYPE (\w+?)(?:_total|_created)? ", Metrics().text().decode(), re.MULTILINE))
    assert families
    assert not [family for family in families if family not in text]


def test_every_command_is_named():
    text = " ".join(path.read_text() for path in [*DOCS.glob("*.md"), DOCS.parent / "README.md"])
    assert not [name for name in get_command(app).commands if f"penstock {name}" not in text]
