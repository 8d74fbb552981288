"""The client's end of a request: answers as ASGI messages, errors in the API's shape."""

import asyncio
from collections.abc import Sequence

import msgspec
from starlette.types import Receive, Send

from penstock.domain.errors import PenstockError
from penstock.domain.usage import Usage
from penstock.gateway.interrupt import Cut, Interrupt
from penstock.gateway.overhead import Overhead
from penstock.web.errors import STATUS, ErrorAnswer, answer_to, with_request

WATCH_AFTER_S = 0.02
"""When it begins to be watched whether the client is still there: answers that are faster need no watch."""
OVERHEAD = b"x-penstock-overhead-ms"
"""The header that tells our own time with a request until its answer began, in milliseconds."""
FAIL_S = 5.0
"""How long a client that does not read is given to take an error."""
_ERROR = 400

Headers = list[tuple[bytes, bytes]]


class AsgiReply:
    """See `penstock.gateway.call.Reply`."""

    def __init__(self, send: Send, request_id: str, workspace_id: bytes, own: Overhead) -> None:
        """`own` measures our own time, which the head of the answer tells."""
        self._send = send
        self._request_id = request_id
        self._workspace_id = workspace_id
        self._own = own
        self.begun = False
        self.code = 0
        """The status that was sent, 0 while none was."""
        self._limits: Sequence[tuple[bytes, bytes]] = ()
        self._notice: Sequence[tuple[bytes, bytes]] = ()

    def limited(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Headers for whatever is answered."""
        self._limits = headers

    def note(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Headers about the model, for whatever is answered."""
        self._notice = headers

    async def begin(self, status: int, content_type: bytes, entity: str, retry_after: bytes = b"") -> None:
        """Sends the head."""
        self.begun, self.code = True, status
        headers = self._headers(content_type, entity, retry_after)
        headers.append((b"cache-control", b"no-cache"))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def send(self, chunk: bytes) -> None:
        """Sends bytes now."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self) -> None:
        """Ends the body."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def whole(self, status: int, content_type: bytes, entity: str, body: bytes, retry_after: bytes = b"") -> None:
        """Sends head and body."""
        self.begun, self.code = True, status
        if status >= _ERROR:
            body = with_request(body, self._request_id)
        headers = self._headers(content_type, entity, retry_after)
        headers.append((b"content-length", b"%d" % len(body)))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def status(self, error: PenstockError) -> int:
        """The HTTP status of an error."""
        return STATUS[error.code]

    async def fail(self, error: PenstockError, usage: Usage) -> None:
        """Sends an error, or the last event of a stream: without `[DONE]`, which would say that all is there."""
        try:
            async with asyncio.timeout(FAIL_S):
                if self.begun:
                    await self.send(error_event(error, usage))
                    await self.end()
                else:
                    await self.error(answer_to(error, self._request_id))
        except TimeoutError:
            # It does not read what it has been sent before; it has its connection closed by the server.
            return

    async def error(self, answer: ErrorAnswer) -> None:
        """Sends an error answer."""
        self.begun, self.code = True, answer.status
        headers = [*answer.headers, *self._ids(), *self._notice, *self._limits]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": answer.body})

    def _headers(self, content_type: bytes, entity: str, retry_after: bytes) -> Headers:
        headers = [(b"content-type", content_type), *self._ids(), *self._notice, *self._limits]
        if entity:
            headers.append((b"served-model-name", entity.encode()))
        if retry_after:
            headers.append((b"retry-after", retry_after))
        return headers

    def _ids(self) -> Headers:
        return [
            (b"x-request-id", self._request_id.encode()),
            (b"x-databricks-org-id", self._workspace_id),
            (OVERHEAD, b"%.3f" % self._own.tell()),
        ]


def error_event(error: PenstockError, usage: Usage) -> bytes:
    """A stream's last event when it cannot go on. Clients of OpenAI raise what stands under `error`."""
    about = {"error_code": error.code, "message": error.message, "type": error.code, "code": error.code}
    used = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    event = {"error": about, "error_code": error.code, "message": error.message, "usage": used}
    return b"data: " + msgspec.json.encode(event) + b"\n\n"


class HangUp:
    """Interrupts a request when its client leaves. Entered as a context after the body has been read."""

    __slots__ = ("_interrupt", "_receive", "_task", "_timer")

    def __init__(self, receive: Receive, interrupt: Interrupt) -> None:
        self._receive = receive
        self._interrupt = interrupt
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._begin)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._interrupt.cut(Cut.GONE)
