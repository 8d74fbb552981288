"""What an answer is made of, in the order in which it is said: thoughts, text, calls of functions."""

from __future__ import annotations

from typing import NamedTuple


class Thought(NamedTuple):
    """More of what the model thinks before it answers."""

    text: str


class Text(NamedTuple):
    """More of what it says."""

    text: str


class Call(NamedTuple):
    """A call of a function begins. `number`: which call of the answer it is, from 0."""

    number: int
    id: str
    name: str


class Arguments(NamedTuple):
    """More of a call's arguments, which are JSON."""

    number: int
    text: str


Part = Thought | Text | Call | Arguments


def message(parts: list[Part]) -> dict[str, object]:
    """The parts of a complete answer as a chat message; content is null where there are calls or thoughts only."""
    text = "".join(part.text for part in parts if isinstance(part, Text))
    thought = "".join(part.text for part in parts if isinstance(part, Thought))
    arguments: dict[int, list[str]] = {}
    for part in parts:
        if isinstance(part, Arguments):
            arguments.setdefault(part.number, []).append(part.text)
    calls = [
        {
            "id": part.id,
            "type": "function",
            "function": {"name": part.name, "arguments": "".join(arguments.get(part.number, ()))},
        }
        for part in parts
        if isinstance(part, Call)
    ]
    content = None if (calls or thought) and not text.strip() else text
    found: dict[str, object] = {"role": "assistant", "content": content}
    if thought:
        found["reasoning_content"] = thought
    if calls:
        found["tool_calls"] = calls
    return found
