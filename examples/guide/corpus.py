"""Reads questions.md: what the guide is asked and what it answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

QUESTIONS = Path(__file__).parent / "questions.md"


@dataclass(frozen=True, slots=True)
class Fact:
    """One answer with the questions that lead to it."""

    name: str
    answer: str
    asked: tuple[str, ...]
    held_out: tuple[str, ...]
    terms: tuple[str, ...]
    hows: tuple[str, ...]
    topics: tuple[str, ...]


def read_facts(path: Path = QUESTIONS) -> list[Fact]:
    """The facts of a file in its order; raises ValueError for a line that it cannot place."""
    sections = path.read_text(encoding="utf-8").split("\n## ")[1:]
    return [_fact(section) for section in sections]


def plain(question: str) -> str:
    """A question without case and punctuation, to tell whether two are the same."""
    return " ".join(re.findall(r"[a-z0-9*]+", question.lower()))


def _fact(section: str) -> Fact:
    name, *lines = section.strip().splitlines()
    found: dict[str, list[str]] = {mark: [] for mark in ("- ", "? ", "> ", "term: ", "how: ", "topic: ")}
    for line in lines:
        mark = next((mark for mark in found if line.startswith(mark)), None)
        if mark is None:
            raise ValueError(f"{name}: this line begins with none of {sorted(found)}: {line}")
        text = line.removeprefix(mark).strip()
        found[mark] += text.split(" | ") if mark.endswith(": ") else [text]
    if len(found["> "]) != 1:
        raise ValueError(f"{name}: needs exactly one answer")
    parts = (found[mark] for mark in ("- ", "? ", "term: ", "how: ", "topic: "))
    return Fact(name, found["> "][0], *(tuple(part) for part in parts))
