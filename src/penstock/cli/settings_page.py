"""The page docs/settings.md, written from the settings themselves."""

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from penstock.settings import PREFIX, Settings, groups

_INTRODUCTION = """# Settings

<!-- Written by `penstock settings`; a test tells when it is out of date. -->

Flags of `penstock serve` win over `PENSTOCK_*` variables, those over the TOML file that `--config` or `PENSTOCK_CONFIG`
names, and that over the defaults. Unknown keys and variables are refused.
"""


def settings_page() -> str:
    """The page, in Markdown."""
    own = {key: field for key, field in Settings.model_fields.items() if key not in groups()}
    sections = [_INTRODUCTION, *_section("At the top", "The server.", own, "")]
    for name, group in groups().items():
        sections += _section(f"[{name}]", _in_one_line(group.__doc__), group.model_fields, name)
    return "\n".join(sections)


def _section(title: str, purpose: str, fields: dict[str, FieldInfo], group: str) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"{purpose}\n"
    yield "| key | variable | default | meaning |"
    yield "|---|---|---|---|"
    for key, field in fields.items():
        variable = PREFIX + (f"{group}_{key}" if group else key).upper()
        yield f"| `{key}` | `{variable}` | {_default(field)} | {_in_one_line(field.description)} |"
    yield ""


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value == "" or isinstance(value, BaseModel):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _in_one_line(text: str | None) -> str:
    return " ".join((text or "").split())
