"""Reads an answer as it is said: takes thoughts, text and calls of functions apart."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from penstock_engine.detokenizer import overlap
from penstock_engine.parts import Arguments, Call, Part, Text, Thought

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock_engine.tool_format import ToolFormat

THINK = "<think>"
THOUGHT = "</think>"


class Reader:
    """Reads one answer. Gives every piece as soon as it is certain what it is."""

    def __init__(
        self, tools: ToolFormat | None, *, thinks: bool = False, thinking: bool = False, calls: bool = False
    ) -> None:
        """`thinks`: an answer may begin with thoughts; `thinking`: the prompt has begun them already.

        `calls`: there must be a call, so that what looks like the beginning of one is not text.
        """
        self._tools = tools
        self._must_call = calls
        self._held = ""
        self._begun = False
        self._value = _Value()
        self.calls = 0
        """Complete calls so far."""
        self._read: Callable[[list[Part]], bool] = self._text
        if thinking:
            self._read = self._thought
        elif thinks:
            self._read = self._beginning

    @property
    def thinking(self) -> bool:
        """Whether what comes next is a thought."""
        return self._read == self._thought

    @property
    def speaking(self) -> bool:
        """Whether what comes next is text."""
        return self._read in (self._text, self._beginning)

    def push(self, text: str) -> list[Part]:
        """The parts that are certain with this text."""
        self._held += text
        parts: list[Part] = []
        while self._held and self._read(parts):
            pass
        return parts

    def flush(self) -> list[Part]:
        """The answer has ended: what was held back is what it looks like. The beginning of a call is nothing."""
        held, self._held = self._held, ""
        if held and self.speaking:
            return [] if self._must_call else [Text(held)]
        if held and self.thinking:
            return [Thought(held)]
        return []

    def _beginning(self, _: list[Part]) -> bool:
        said = self._held.lstrip()
        if len(said) < len(THINK) and THINK.startswith(said):
            return False
        if said.startswith(THINK):
            self._held = said[len(THINK) :]
            self._read = self._thought
        else:
            self._read = self._text
        return True

    def _thought(self, parts: list[Part]) -> bool:
        at = self._held.find(THOUGHT)
        keep = overlap(self._held, THOUGHT) if at < 0 else 0
        said = self._held[: at if at >= 0 else len(self._held) - keep]
        if not self._begun:
            said = said.lstrip("\n")
        if said:
            self._begun = True
            parts.append(Thought(said))
        if at < 0:
            self._held = self._held[len(self._held) - keep :]
            return False
        self._held = self._held[at + len(THOUGHT) :]
        self._read = self._gap
        return True

    def _gap(self, _: list[Part]) -> bool:
        """White space between thoughts and text belongs to neither."""
        self._begun = False
        self._held = self._held.lstrip()
        if self._held:
            self._read = self._text
        return bool(self._held)

    def _text(self, parts: list[Part]) -> bool:
        tools = self._tools
        if tools is None:
            self._say(parts, len(self._held))
            return False
        if tools.bare and not self._begun and self._held.startswith("{"):
            self._read = self._call
            return True
        at = self._held.find(tools.marker)
        if at >= 0:
            self._say(parts, at)
            self._held = self._held[len(tools.marker) :]
            self._read = self._call
            return True
        self._say(parts, len(self._held) - overlap(self._held, tools.marker))
        return False

    def _say(self, parts: list[Part], length: int) -> None:
        if length:
            parts.append(Text(self._held[:length]))
            self._held = self._held[length:]
            self._begun = True

    def _call(self, parts: list[Part]) -> bool:
        """What stands around names and arguments belongs to neither."""
        found = self._tools.begins.search(self._held) if self._tools is not None else None
        if found is None:
            return False
        self._held = self._held[found.end() :]
        parts.append(Call(self.calls, f"call_{uuid.uuid4()}", found["name"]))
        self._value = _Value()
        self._read = self._arguments
        return True

    def _arguments(self, parts: list[Part]) -> bool:
        end = self._value.end(self._held)
        said = self._held if end is None else self._held[:end]
        if said:
            parts.append(Arguments(self.calls, said))
        self._held = self._held[len(said) :]
        if end is None:
            return False
        self.calls += 1
        self._read = self._call
        return True


class _Value:
    """Finds the end of an object in JSON that comes in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._string = False
        self._escaped = False

    def end(self, piece: str) -> int | None:
        """Length of the piece's part that belongs to the object, None if all of it does and more is to come."""
        for at, letter in enumerate(piece):
            if self._string:
                if self._escaped or letter == "\\":
                    self._escaped = not self._escaped
                elif letter == '"':
                    self._string = False
            elif letter == '"':
                self._string = True
            elif letter in "{[":
                self._depth += 1
            elif letter in "}]":
                self._depth -= 1
                if not self._depth:
                    return at + 1
        return None
