"""A file as an HTTP answer: its range, its conditions, its headers. Never compressed, so that lengths are true."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from penstock.ports.artifacts import Entry
from penstock.web.errors import error_body

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
Reader = Callable[[int, int], Awaitable[AsyncIterator[bytes]]]
"""Bytes of the file: from where, and how many."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a file that is sent. `whole` if no range was asked for, or one that is not understood."""

    start: int
    length: int
    whole: bool


def slice_of(header: str | None, size: int) -> Slice | None:
    """What a Range header asks of a file of that size; None if nothing of the file is in it."""
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or not any(found.groups()):
        return Slice(0, size, whole=True)
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        return Slice(size - length, length, whole=False) if length else None
    start, end = int(first), min(int(last) if last else size - 1, size - 1)
    if start >= size or end < start:
        return None
    return Slice(start, end - start + 1, whole=False)


async def answer_file(request: Request, entry: Entry, read: Reader) -> Response:
    """The file, or what the request's Range and conditions make of it: 200, 206, 412 or 416."""
    modified = datetime.fromtimestamp(entry.modified_at // 1000, UTC)
    stamp = format_datetime(modified, usegmt=True)
    headers = {"last-modified": stamp, "accept-ranges": "bytes", "content-type": "application/octet-stream"}
    unmodified_since = _date(request.headers.get("if-unmodified-since"))
    if unmodified_since is not None and modified > unmodified_since:
        return _refusal(request, 412, f"The file was changed at {stamp}, after what If-Unmodified-Since says.", headers)
    asked = request.headers.get("range")
    if request.headers.get("if-range", stamp) != stamp:
        asked = None
    part = slice_of(asked, entry.size)
    if part is None:
        headers["content-range"] = f"bytes */{entry.size}"
        return _refusal(request, 416, f"Range {asked!r:.80} is outside of the file's {entry.size} bytes.", headers)
    headers["content-length"] = str(part.length)
    status = 200
    if not part.whole:
        status = 206
        headers["content-range"] = f"bytes {part.start}-{part.start + part.length - 1}/{entry.size}"
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(await read(part.start, part.length), status, headers)


def _date(header: str | None) -> datetime | None:
    if header is None:
        return None
    try:
        date = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _refusal(request: Request, status: int, message: str, headers: dict[str, str]) -> Response:
    body = error_body("INVALID_PARAMETER_VALUE", message, request.state.request_id)
    return Response(body, status, {**headers, "content-type": "application/json"})
