"""A multipart form, read piece by piece: small fields and one file, whatever their order."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email.message import Message

from penstock.domain.errors import InvalidParameter, MalformedBody

MAX_HEADERS = 16 * 1024
MAX_FIELD = 64 * 1024
MAX_PARTS = 50
_END = b"\r\n\r\n"


@dataclass(slots=True)
class Form:
    """What was sent. `filename` is that of the file; empty if there was none."""

    fields: dict[str, str] = field(default_factory=dict)
    filename: str = ""


async def read_form(
    content_type: str, body: AsyncIterator[bytes], take: Callable[[AsyncIterator[bytes]], Awaitable[None]]
) -> Form:
    """Reads a form; `take` is given the content of its field `file`, and must read it to its end.

    Raises MalformedBody if it is no form, InvalidParameter for a second file or a field that is too long.
    """
    reader, form = _Reader(body, _boundary(content_type)), Form()
    await reader.first()
    for _ in range(MAX_PARTS):
        if await reader.is_last():
            return form
        name, filename = await reader.head()
        if filename is None:
            form.fields[name] = await _text(name, reader.content())
            continue
        if name != "file" or form.filename:
            raise InvalidParameter("The form must have one file, in its field 'file'.")
        form.filename = filename or "file"
        await take(reader.content())
    raise MalformedBody(f"The form has more than {MAX_PARTS} fields.")


async def _text(name: str, content: AsyncIterator[bytes]) -> str:
    value = b""
    async for chunk in content:
        value += chunk
        if len(value) > MAX_FIELD:
            raise InvalidParameter(f"{name[:80]} is longer than {MAX_FIELD} bytes.")
    return value.decode("utf-8", "replace")


def _boundary(content_type: str) -> bytes:
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise MalformedBody("The request body must be a form of the type multipart/form-data.")
    return b"\r\n--" + boundary.encode("latin-1", "replace")


class _Reader:
    """The body with what was read ahead."""

    def __init__(self, body: AsyncIterator[bytes], boundary: bytes) -> None:
        self._body = body
        self._boundary = boundary
        # The first boundary has no line before it.
        self._ahead = b"\r\n"

    async def _more(self) -> None:
        try:
            self._ahead += await anext(self._body)
        except StopAsyncIteration:
            raise MalformedBody("The form breaks off.") from None

    async def first(self) -> None:
        """Goes behind the first boundary."""
        async for _ in self.content():
            pass

    async def is_last(self) -> bool:
        """Whether the boundary that was just read is the last one; else goes behind its line."""
        while len(self._ahead) < len(_END):
            if self._ahead.startswith(b"--"):
                return True
            await self._more()
        if self._ahead.startswith(b"--"):
            return True
        line, found, rest = self._ahead.partition(b"\r\n")
        if not found or line.strip():
            raise MalformedBody("A boundary of the form is followed by something else.")
        # The line's end stays: a part may have no headers.
        self._ahead = b"\r\n" + rest
        return False

    async def head(self) -> tuple[str, str | None]:
        """The name of the next field, and of its file if it is one."""
        while _END not in self._ahead:
            if len(self._ahead) > MAX_HEADERS:
                raise MalformedBody("The headers of a field are too long.")
            await self._more()
        head, _, self._ahead = self._ahead.partition(_END)
        found = re.search(rb"(?im)^content-disposition:[ \t]*(.*)$", head.replace(b"\r\n", b"\n"))
        message = Message()
        message["content-disposition"] = found[1].decode("utf-8", "replace").strip() if found else ""
        name = message.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise MalformedBody("A field of the form has no name.")
        return name, message.get_filename()

    async def content(self) -> AsyncIterator[bytes]:
        """The bytes up to the next boundary, which is passed."""
        keep = len(self._boundary) - 1
        while True:
            content, found, rest = self._ahead.partition(self._boundary)
            if found:
                self._ahead = rest
                if content:
                    yield content
                return
            if len(self._ahead) > keep:
                ready, self._ahead = self._ahead[:-keep], self._ahead[-keep:]
                yield ready
            await self._more()
