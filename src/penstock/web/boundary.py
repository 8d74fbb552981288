"""The boundary of a control-plane request: its id, its log line and audit entry, and the last resort for a crash."""

import re
import time
import uuid

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.control.audit import Audit
from penstock.domain.answer_counts import GONE, Plane
from penstock.domain.ended_request import EndedCall
from penstock.gateway.observer import Observer
from penstock.gateway.trace import Trace
from penstock.web.audited import entry_of
from penstock.web.errors import crash_answer
from penstock.web.trace_headers import context_of

_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_UNTRACED = ("/health/", "/metrics")
"""Asked every few seconds by machines: traces of them would hide the others."""
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

    def __init__(self, app: ASGIApp, workspace_id: str, audit: Audit, observer: Observer) -> None:
        self._app = app
        self._observer = observer
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
        trace = None if path.startswith(_UNTRACED) else self._observer.begin(context_of(scope["headers"]))
        named = {"request_id": request_id} | ({} if trace is None else {"trace_id": trace.context.trace_id})
        began_ms, start = time.time_ns() // 1_000_000, time.perf_counter()
        with structlog.contextvars.bound_contextvars(**named):
            try:
                await self._app(scope, receive, answer.send)
            except Exception:
                _log.exception("request failed", method=scope["method"], path=path)
                if answer.status and not answer.complete:
                    raise
                if not answer.status:
                    await _send_crash(answer, request_id)
            finally:
                seconds = time.perf_counter() - start
                self._tell(scope, path, answer, seconds * 1000)
                self._observe(scope, answer, trace, began_ms, seconds)

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

    def _observe(self, scope: Scope, answer: "_Answer", trace: Trace | None, began_ms: int, seconds: float) -> None:
        status, state = answer.status or GONE, scope["state"]
        self._observer.answers.see(Plane.CONTROL, status)
        traced = None if trace is None else trace.told()
        if traced is not None:
            route = state["audited"][0] if "audited" in state else ""
            request_id = state["request_id"]
            self._observer.called(EndedCall(scope["method"], route, status, request_id, began_ms, seconds, traced))


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
