"""The boundary of a control-plane request: its id, its log line and audit entry, and the last resort for a crash."""

import re
import time
import uuid

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.control.audit import Audit
from penstock.web.audited import entry_of
from penstock.web.errors import crash_answer

_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
GONE = 499
"""The status that is told of a client that did not wait for its answer."""
_log = structlog.stdlib.get_logger("penstock.web")


def request_id_of(headers: list[tuple[bytes, bytes]]) -> str:
    """The caller's `x-request-id` if it is a sane one, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return value.decode("ascii")
    return str(uuid.uuid4())


class Boundary:
    """Around the control plane: nothing leaves it but an answer with a request id.

    A trailing slash of the path is dropped: clients send it, and a redirect would turn their POST into a GET.
    """

    def __init__(self, app: ASGIApp, workspace_id: str, audit: Audit) -> None:
        self._app = app
        self._audit = audit
        self._workspace_id = workspace_id.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        request_id = request_id_of(scope["headers"])
        path = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            scope["path"] = path.rstrip("/") or "/"
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, request_id, self._workspace_id)
        start = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, answer.send)
            except Exception:
                _log.exception("request failed", method=scope["method"], path=path)
                if answer.status and not answer.complete:
                    raise
                if not answer.status:
                    await _send_crash(answer, request_id)
            finally:
                self._tell(scope, path, answer, (time.perf_counter() - start) * 1000)

    def _tell(self, scope: Scope, path: str, answer: "_Answer", milliseconds: float) -> None:
        entry = entry_of(scope, answer.status or GONE)
        if entry is not None:
            self._audit.record(entry)
        caller = scope["state"].get("caller")
        _log.info(
            "request",
            method=scope["method"],
            path=path,
            status=answer.status or GONE,
            ms=round(milliseconds, 1),
            caller=caller.principal.name if caller else None,
        )


class _Answer:
    """What was sent so far, with our headers put in."""

    def __init__(self, send: Send, request_id: str, workspace_id: bytes) -> None:
        self._send = send
        self._headers = [(b"x-request-id", request_id.encode()), (b"x-databricks-org-id", workspace_id)]
        self.status = 0
        self.complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), *self._headers]
        elif message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)
        await self._send(message)


async def _send_crash(answer: _Answer, request_id: str) -> None:
    crash = crash_answer(request_id)
    await answer.send({"type": "http.response.start", "status": crash.status, "headers": list(crash.headers)})
    await answer.send({"type": "http.response.body", "body": crash.body})
