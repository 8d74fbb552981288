"""What no request of the control plane may hold, whatever its route: refused before anything reads it.

Texts that no database can store (NUL, half of a surrogate pair), numbers that JSON does not have or that need more than
64 bits, and nesting that no honest client sends.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from penstock.domain.errors import InvalidParameter, MalformedBody

MOST_DEPTH = 64
_INT64 = 2**63
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|[0-9]{19}|[0-9][eE]\+?[0-9]{3}|NaN|Infinity")
"""What a body holds that must be looked at value by value; all others are let pass at once."""
_TOO_DEEP = f"is nested deeper than {MOST_DEPTH} levels"

_Place = tuple[Any, str | int] | None
"""Where a value is: the place of what holds it, and its name or number there; None is the body itself."""


def text_problem(text: str) -> str:
    """The rule that a text breaks, '' if none."""
    if "\0" in text:
        return "must not hold the character NUL"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "must be Unicode, but holds half of a surrogate pair"
    return ""


def check_json(body: bytes) -> None:
    """Raises MalformedBody, or InvalidParameter naming the field and the rule.

    What is no JSON at all is left to whoever parses it. Nothing is raised where an error of the parser, which holds the
    whole body, would be its context.
    """
    wrong = _no_text_at(body)
    if wrong is not None or b"\0" in body:
        raise MalformedBody(
            f"The request body must be UTF-8, but its byte {body.find(0) if wrong is None else wrong} is not."
        )
    if body.count(b"[") + body.count(b"{") <= MOST_DEPTH and not _SUSPECT.search(body):
        return
    content, problem = _parsed(body)
    if problem:
        raise MalformedBody(f"The request body {problem}.")
    _check(content)


def _no_text_at(body: bytes) -> int | None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def _parsed(body: bytes) -> tuple[Any, str]:
    """What the body says, None if it is no JSON; and why it cannot be read, '' if it can."""
    try:
        return json.loads(body), ""
    except RecursionError:
        return None, _TOO_DEEP
    except json.JSONDecodeError:
        return None, ""
    except ValueError:
        return None, "holds a number that has too many digits"


def _check(content: Any) -> None:
    waiting: list[tuple[_Place, int, Any]] = [(None, 1, content)]
    while waiting:
        place, depth, value = waiting.pop()
        if isinstance(value, dict | list):
            if depth > MOST_DEPTH:
                raise MalformedBody(f"The request body {_TOO_DEEP}.")
            waiting.extend(_inside(place, depth + 1, value))
        elif problem := _problem(value):
            raise InvalidParameter(f"{_told(place)}: {problem}.")


def _inside(place: _Place, depth: int, value: dict[str, Any] | list[Any]) -> Iterator[tuple[_Place, int, Any]]:
    """What is inside, last first: the first is then looked at next."""
    if isinstance(value, list):
        for number in range(len(value) - 1, -1, -1):
            yield (place, number), depth, value[number]
        return
    for name in reversed(value):
        if problem := text_problem(name):
            raise InvalidParameter(f"{_told((place, name))}: a field's name {problem}.")
        yield (place, name), depth, value[name]


def _problem(value: Any) -> str:
    if isinstance(value, str):
        return text_problem(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a number that JSON has"
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return "must be a number of at most 64 bits"
    return ""


def _told(place: _Place) -> str:
    """The place as errors name it, in ASCII: `served_entities.0.name`."""
    parts: list[str] = []
    while place is not None:
        place, part = place
        parts.append(str(part)[:80])
    return ".".join(reversed(parts)).encode("unicode_escape").decode() or "The request body"
