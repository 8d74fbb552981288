"""Writes docs/conformance.md from docs/conformance.toml."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
SOURCE, PAGE = DOCS / "conformance.toml", DOCS / "conformance.md"
STATES = ("works", "differs", "refused", "ignored", "absent")
_INTRODUCTION = """# Conformance

How this server stands to the platform's serving API: every route and field, what differs on purpose and why, and what
has broken real clients. Each row names the test that shows it. The page is made from `conformance.toml` by
`python scripts/conformance.py`; a test fails when it is out of date, when a route or field is missing here, or when
something is said that is not so.

*works*: as on the platform. *differs*: on purpose. *refused*: 400, naming the field. *ignored*: read over, as it has
no meaning here. *absent*: not there yet.
"""
_OBJECTS = {
    "CreateBody": "A new endpoint",
    "ConfigBody": "`config`",
    "EntityBody": "A served entity",
    "RouteBody": "A route of `traffic_config`",
    "TagsBody": "A change of tags",
    "AddressesBody": "`email_notifications`",
    "TelemetryBody": "`telemetry_config`",
    "GatewayBody": "`ai_gateway`",
    "ChatRequest": "A chat",
}


def read() -> dict[str, Any]:
    """What is declared."""
    return tomllib.loads(SOURCE.read_text())


def page(declared: dict[str, Any]) -> str:
    """The page, in Markdown."""
    return "\n".join(_lines(declared))


def _lines(declared: dict[str, Any]) -> Iterator[str]:
    yield _INTRODUCTION
    yield "## Routes\n"
    yield "| row | route | state | note | test |"
    yield "|---|---|---|---|---|"
    for row, route, state, note, test in declared["routes"]:
        yield f"| {row} | `{route}` | {state} | {note} | {_test(test)} |"
    yield ""
    for name, fields in declared["fields"].items():
        yield f"## {_OBJECTS[name]}\n"
        yield "| field | state | note | test |"
        yield "|---|---|---|---|"
        for field, state, note, test in fields:
            yield f"| `{field}` | {state} | {note} | {_test(test)} |"
        yield ""
    yield "## Providers of external models\n"
    yield "| provider | state | note | test |"
    yield "|---|---|---|---|"
    for provider, state, note, test in declared["providers"]:
        yield f"| `{provider}` | {state} | {note} | {_test(test)} |"
    yield ""
    yield "## Limits\n"
    yield "| of | here |"
    yield "|---|---|"
    for name, note in declared["limits"].items():
        yield f"| {name} | {note} |"
    yield "\n## Traps\n"
    yield "| number | what clients rely on | test |"
    yield "|---|---|---|"
    for number, (test, note) in declared["traps"].items():
        yield f"| {number} | {note} | {_test(test)} |"
    yield ""


def _test(name: str) -> str:
    return f"`{name}`" if name else ""


if __name__ == "__main__":
    PAGE.write_text(page(read()))
