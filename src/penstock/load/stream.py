"""Reads an answer's events as they come, at little cost: the load generator often shares a machine with the server."""

import re
from collections import deque

_TEXT = re.compile(rb'"(?:text|content)":\s*"[^"]')
_OUT = re.compile(rb'"completion_tokens":\s*(\d+)')
_IN = re.compile(rb'"prompt_tokens":\s*(\d+)')
_ERROR = re.compile(rb'^data: ?(\{"error.*)$', re.MULTILINE)
_KEPT = 8
"""Pieces kept for what stands at the end: usage, an error, `[DONE]`."""


class Events:
    """The stream of one answer. Pieces are looked at whole, not parsed: only the last ones are kept."""

    __slots__ = ("_count", "_last", "chunks", "first_at")

    def __init__(self) -> None:
        self._last: deque[bytes] = deque(maxlen=_KEPT)
        self._count = 0
        self.first_at: float | None = None
        self.chunks: list[tuple[float, int]] = []

    def take(self, piece: bytes, now: float, *, keep: bool = False) -> None:
        """Takes the next bytes; with `keep`, notes how many tokens there were by then."""
        self._last.append(piece)
        self._count += piece.count(b"data:")
        if self.first_at is None and (_TEXT.search(piece) or _number(_OUT, piece)):
            self.first_at = now
        if keep:
            tokens = _number(_OUT, piece)
            if tokens:
                self.chunks.append((now, tokens))

    @property
    def tokens_in(self) -> int:
        """Of the newest usage; 0 if none came."""
        return _number(_IN, b"".join(self._last)) or 0

    @property
    def tokens_out(self) -> int:
        """Of the newest usage; without any, a token for each event with text, which is about right."""
        told = _number(_OUT, b"".join(self._last))
        if told is not None:
            return told
        return self._count if self.first_at is not None else 0

    @property
    def error(self) -> bytes:
        """The error event that ended the stream, or nothing."""
        found = _ERROR.search(b"".join(self._last))
        return found[1] if found else b""

    @property
    def complete(self) -> bool:
        """Whether the stream ended as streams do."""
        return b"[DONE]" in b"".join(self._last)


class Whole:
    """An answer that comes in one piece: it has no first token before its last."""

    __slots__ = ("complete", "tokens_in")

    chunks: tuple[tuple[float, int], ...] = ()
    error = b""
    first_at: float | None = None
    tokens_out = 0

    def __init__(self, body: bytes) -> None:
        self.tokens_in = _number(_IN, body) or 0
        self.complete = b'"data"' in body and body.rstrip().endswith(b"}")


def _number(pattern: "re.Pattern[bytes]", data: bytes) -> int | None:
    found = pattern.findall(data)
    return int(found[-1]) if found else None
