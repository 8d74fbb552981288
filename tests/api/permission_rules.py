"""The rules of permission_rules.toml, and the page docs/permissions.md, which this module prints."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

RULES = Path(__file__).with_suffix(".toml")
PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"
ANYONE, SIGNED = "anyone", "signed"


@dataclass(frozen=True)
class Rule:
    """Who may call some routes. `allowed` are kinds of callers, `refusal` the status that the others get.

    `unknown` is what who has no good credential gets.
    """

    name: str
    title: str
    meaning: str
    allowed: list[str]
    refusal: int
    routes: list[str]
    unknown: int = 403


@dataclass(frozen=True)
class Rules:
    """All rules; `callers` says what each kind of caller is."""

    introduction: str
    callers: dict[str, str]
    rules: list[Rule]

    def by_route(self) -> dict[str, Rule]:
        """The rule of each route; a route stands under exactly one."""
        found = [(route, rule) for rule in self.rules for route in rule.routes]
        assert len(found) == len(dict(found)), "a route stands under two rules"
        return dict(found)


def load() -> Rules:
    """The rules as written."""
    content = tomllib.loads(RULES.read_text())
    return Rules(content["introduction"], content["callers"], [Rule(**rule) for rule in content["rules"]])


def page(rules: Rules) -> str:
    """The page, in Markdown."""
    lines = ["# Permissions", "", "<!-- Written from the rules that a test compares with what happens. -->", ""]
    lines += [rules.introduction.strip(), "", "## Callers and rules", ""]
    lines += ["| rule | meaning | " + " | ".join(rules.callers) + " |", "|---|---|" + "---|" * len(rules.callers)]
    for rule in rules.rules:
        marks = " | ".join("yes" if _may(rule, kind) else str(rule.refusal) for kind in rules.callers)
        lines.append(f"| [{rule.title}](#{rule.name}) | {rule.meaning} | {marks} |")
    lines += ["", *(f"- **{kind}**: {meaning}" for kind, meaning in rules.callers.items()), ""]
    for rule in rules.rules:
        lines += [f'## <a id="{rule.name}"></a>{rule.title}', ""]
        lines += [*(f"- `{route}`" for route in rule.routes), ""]
    return "\n".join(lines)


def _may(rule: Rule, kind: str) -> bool:
    return kind in rule.allowed


if __name__ == "__main__":
    PAGE.write_text(page(load()))
