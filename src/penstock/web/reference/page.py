"""The OpenAPI document as one page that needs nothing else: no scripts, no fonts, nothing from elsewhere."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from penstock.web.guard import DECLARATION

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2429; background: #fff; max-width: 60rem; margin: 0 auto;
  padding: 2rem 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.5rem } nav a { margin-right: 1rem }
details { border-top: 1px solid #d5dbe0; padding: .4rem 0 } summary { cursor: pointer } a { color: #0b5c8c }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere }
.method { display: inline-block; min-width: 4rem; font-weight: 600 }
.access { color: #59656e; font-size: .85em; margin-left: .6rem }
table { border-collapse: collapse; margin: .6rem 0; font-size: .9em }
td, th { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0 }
@media (prefers-color-scheme: dark) {
  body { color: #dde3e8; background: #14191d } details { border-color: #37424b } a { color: #7cc1ea }
  .access { color: #9aa7b1 }
}
"""


def page(document: dict[str, Any]) -> str:
    """The page."""
    groups: dict[str, list[str]] = {}
    for path, operations in sorted(document["paths"].items()):
        for method, operation in operations.items():
            told = "".join(_operation(document, method.upper(), path, operation))
            groups.setdefault(operation["tags"][0], []).append(told)
    links = "".join(f'<a href="#{_anchor(tag)}">{escape(tag)}</a>' for tag in sorted(groups))
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    sections = "".join(
        f'<section><h2 id="{_anchor(tag)}">{escape(tag)}</h2>{"".join(told)}</section>'
        for tag, told in sorted(groups.items())
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><h1>{title}: API</h1>'
        '<p>The same as an OpenAPI document: <a href="/openapi.json">openapi.json</a>. Credentials are '
        "<code>Authorization: Bearer TOKEN</code>, or Basic with the user <code>token</code>.</p>"
        f"<nav>{links}</nav>{sections}</body></html>"
    )


def _anchor(tag: str) -> str:
    return "".join(sign if sign.isalnum() else "-" for sign in tag.lower())


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    summary = operation.get("summary", "")
    yield (
        f'<details><summary><span class="method">{method}</span> <code>{escape(path)}</code>'
        f'<span class="access">{escape(operation[DECLARATION])}</span></summary>'
    )
    yield f"<p>{escape(operation.get('description') or summary)}</p>"
    rows = [
        (one["name"], one["in"], _kind(one.get("schema", {})), "required" if one.get("required") else "")
        for one in operation.get("parameters", ())
    ]
    yield _table(("parameter", "in", "type", ""), rows)
    for schema in _bodies(document, operation):
        required = schema.get("required", ())
        fields = schema.get("properties", {})
        yield f"<p>{escape(str(schema.get('title', 'Body')))}: {escape(str(schema.get('description', '')))}</p>"
        yield _table(
            ("field", "type", ""),
            [(name, _kind(one), "required" if name in required else "") for name, one in fields.items()],
        )
    statuses = ", ".join(sorted(operation["responses"]))
    yield f"<p>Answers: {escape(statuses)}</p></details>"


def _bodies(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content.get("schema", {})
        for one in schema.get("anyOf", [schema]):
            yield document["components"]["schemas"].get(one.get("$ref", "").rsplit("/", 1)[-1], one)


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(_kind(one) for one in schema[word]))
    if "enum" in schema:
        return " or ".join(f'"{one}"' for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
