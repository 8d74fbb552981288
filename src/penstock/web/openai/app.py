"""The data plane: what OpenAI's, MLflow's and the Databricks clients send to `/serving-endpoints/`.

A bare ASGI callable: a framework would cost more than all that is done here.
"""

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import structlog
from starlette.types import Receive, Scope, Send

from penstock.control.authenticator import Authenticator
from penstock.domain.access import Caller, require_scope
from penstock.domain.access import Scope as TokenScope
from penstock.domain.acl import may_query
from penstock.domain.answer_counts import GONE, Plane
from penstock.domain.errors import (
    EndpointNotFound,
    InvalidParameter,
    InvalidRequest,
    MalformedBody,
    PenstockError,
    TooLarge,
)
from penstock.domain.foundation import Notice
from penstock.domain.model import Task
from penstock.domain.routing import EndpointRoute
from penstock.domain.trace_context import TraceContext
from penstock.gateway.call import Asked, Call, Reply
from penstock.gateway.interrupt import Interrupt
from penstock.gateway.ledger import NOTHING
from penstock.gateway.overhead import Overhead
from penstock.gateway.serve import Gateway
from penstock.web.errors import crash_answer, error_answer
from penstock.web.guard import Access, Declared
from penstock.web.openai import forms, requests
from penstock.web.openai.dialect import Dialect, DialectReply, Dialects, Heading, Translation, read_header
from penstock.web.openai.notice_headers import Headers, notice_headers
from penstock.web.openai.reply import AsgiReply, HangUp
from penstock.web.trace_headers import context_of

PREFIX = "/serving-endpoints/"
_TASKS = {"chat/completions": Task.CHAT, "completions": Task.COMPLETIONS, "embeddings": Task.EMBEDDINGS}
_MODELS = "models"
PRIORITY = b"x-penstock-priority"
PATIENCE = b"x-penstock-timeout"
_CLIENT_PATIENCE = b"x-stainless-read-timeout"
"""What OpenAI's own clients send: the seconds after which they give up."""
_PRIORITIES = {b"": "", b"interactive": "", b"batch": "batch"}
_log = structlog.stdlib.get_logger("penstock.web")


@dataclass(frozen=True, slots=True)
class Target:
    """What a path addresses: an endpoint by name, a served entity of it, or a task whose body names the endpoint.

    What a `translation` stands beside is asked for and answered in another wire format; `key` is its clients'
    credential, where there is no other.
    What only `lists` answers with the endpoints as models, or with one of them.
    """

    endpoint: str | None = None
    entity: str | None = None
    task: Task | None = None
    lists: bool = False
    translation: Translation | None = None
    key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Heads:
    """The headers that count, as they were sent; empty where they were not, None for the credential."""

    authorization: bytes | None = None
    length: bytes = b""
    priority: bytes = b""
    patience: bytes = b""
    client_patience: bytes = b""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request as it comes in: the id that it is given, what measures our time with it, and the client's trace."""

    request_id: str
    own: Overhead
    trace: TraceContext | None

    @property
    def named(self) -> dict[str, str]:
        """What log lines call it."""
        told = {"request_id": self.request_id}
        return told if self.trace is None else {**told, "trace_id": self.trace.trace_id}


class _ClientGone(Exception):
    """The client left before its request was complete."""


class DataPlane:
    """The ASGI application under `/serving-endpoints/`."""

    _own_routes: Sequence[Declared] = (
        Declared("POST", PREFIX + "{name}/invocations", Access.USER),
        Declared("POST", PREFIX + "{name}/served-models/{served_model}/invocations", Access.USER),
        *(Declared("POST", PREFIX + path, Access.USER) for path in _TASKS),
        Declared("GET", PREFIX + _MODELS, Access.USER),
        Declared("GET", PREFIX + _MODELS + "/{model}", Access.USER),
    )

    def __init__(
        self,
        gateway: Gateway,
        authenticator: Authenticator,
        workspace_id: str,
        *,
        strict: bool,
        max_body_bytes: int,
        dialects: Sequence[Dialect] = (),
        notices: Mapping[str, Notice] | None = None,
    ) -> None:
        self._gateway = gateway
        self._authenticator = authenticator
        self._workspace_id = workspace_id.encode()
        self._read = requests.read_strictly if strict else requests.read
        self._max_body = max_body_bytes
        self._dialects = Dialects(PREFIX, dialects)
        self._notices = {name: notice_headers(notice) for name, notice in (notices or {}).items()}
        self.routes: Sequence[Declared] = (
            *self._own_routes,
            *(Declared("POST", path, Access.USER) for path in self._dialects.paths),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        # Never the caller's own id: two requests with one id would be one in the ledger.
        request_id = str(uuid.uuid4())
        own = self._gateway.ledger.watch()
        arrival = Arrival(request_id, own, context_of(scope["headers"]))
        spoken = self._dialects.find(scope["path"].rstrip("/"))
        if spoken is None:
            target, reply = find(scope["path"]), AsgiReply(send, request_id, self._workspace_id, own)
        else:
            dialect, model = spoken
            translation = dialect.open(Heading(request_id, scope["headers"], scope["query_string"], model))
            key = read_header(scope["headers"], dialect.key_header) if dialect.key_header else None
            target = Target(endpoint=model or None, task=Task.CHAT, translation=translation, key=key)
            reply = DialectReply(send, request_id, self._workspace_id, own, translation)
        try:
            await self._serve(scope, receive, reply, arrival, target)
        except PenstockError as error:
            await reply.fail(error, NOTHING)
        except _ClientGone:
            return
        except Exception:
            _log.exception("request failed", path=scope["path"], **arrival.named)
            if reply.begun:
                raise
            await reply.error(crash_answer(request_id))
        finally:
            self._gateway.observer.answers.see(Plane.DATA, reply.code or GONE)

    async def _serve(
        self, scope: Scope, receive: Receive, reply: AsgiReply, arrival: Arrival, target: Target | None
    ) -> None:
        heads, request_id = _heads(scope), arrival.request_id
        caller = await self._authenticator.authenticate(_credential(heads, target))
        require_scope(caller, TokenScope.SERVING)
        if target is None:
            message = f"No API found for '{scope['method']} {scope['path']}'."
            await reply.error(error_answer("ENDPOINT_NOT_FOUND", message, request_id))
        elif scope["method"] != ("GET" if target.lists else "POST"):
            message = f"'{scope['path']}' does not take {scope['method']}."
            await reply.error(error_answer("METHOD_NOT_ALLOWED", message, request_id))
        elif target.lists:
            await reply.whole(200, b"application/json", "", self._models(caller, target.endpoint))
        else:
            call = await self._call(target, caller, receive, heads, arrival)
            reply.note(self._notice(call.endpoint))
            call, client = self._in_openais_form(call, reply)
            interrupt = Interrupt()
            with HangUp(receive, interrupt):
                await self._gateway.serve(call, client, interrupt)

    def _notice(self, name: str) -> Headers:
        """What answers of the endpoint say of its model; `name` may be another name of it."""
        route = self._gateway.table.find(name) if self._notices else None
        return self._notices.get(route.name, ()) if route is not None else ()

    def _in_openais_form(self, call: Call, reply: Reply) -> tuple[Call, Reply]:
        """The call and its client's end, translated where the body has a form of custom models."""
        if call.task is not None or not forms.may_hold_a_form(call.body):
            return call, reply
        endpoint = self._gateway.table.find(call.endpoint)
        if endpoint is None or endpoint.task is None:
            return call, reply
        try:
            body = forms.translated(endpoint.task, call.body)
        except InvalidRequest as error:
            return replace(call, read=_refusing(error)), reply
        return (call, reply) if body is None else (replace(call, body=body), forms.PredictionsReply(reply))

    async def _call(self, target: Target, caller: Caller, receive: Receive, heads: Heads, arrival: Arrival) -> Call:
        """The call, with its body. A body that cannot be taken is refused by the gateway, which keeps the account."""
        check: Callable[[Task, bytes], Asked] = self._read
        try:
            priority, patience_s = _priority(heads.priority), _patience(heads)
            with arrival.own:
                body = await self._body(receive, heads.length)
        except InvalidRequest as error:
            if target.endpoint is None:
                raise
            priority, patience_s, body, check = "", None, b"", _refusing(error)
        endpoint = target.endpoint or requests.endpoint_named(body)
        route = self._gateway.table.find(endpoint)
        if check is requests.read_strictly and route is not None and route.is_external:
            # Which fields there are is for the provider to say.
            check = requests.read
        if target.translation is not None:
            body, check = _translated(target.translation, body)
        return Call(
            arrival.request_id,
            caller,
            endpoint,
            target.entity,
            target.task,
            body,
            check,
            priority,
            patience_s,
            arrival.own,
            arrival.trace,
        )

    async def _body(self, receive: Receive, length: bytes) -> bytes:
        if length.isdigit() and int(length) > self._max_body:
            raise self._too_large()
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            return self._bounded(body)
        parts, size = [body], len(body)
        while message.get("more_body", False):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body:
                raise self._too_large()
        return b"".join(parts)

    def _bounded(self, body: bytes) -> bytes:
        if len(body) > self._max_body:
            raise self._too_large()
        return body

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The request body is larger than the limit of {self._max_body} bytes.")

    def _models(self, caller: Caller, name: str | None) -> bytes:
        """The endpoints that the caller may query, as OpenAI lists models, or that of the name alone.

        Raises EndpointNotFound if that one is not among them.
        """
        table = self._gateway.table
        found = [route for one in table.names() if (route := table.find(one)) is not None]
        models = [_model(one) for one in found if one.entities and may_query(caller, one.acl, one.id)]
        if name is None:
            return msgspec.json.encode({"object": "list", "data": models})
        for model in models:
            if model["id"] == name:
                return msgspec.json.encode(model)
        raise EndpointNotFound


def _model(route: EndpointRoute) -> dict[str, object]:
    return {"id": route.name, "object": "model", "created": 0, "owned_by": route.creator}


def _heads(scope: Scope) -> Heads:
    found = {name: value for name, value in scope["headers"] if name in _HEADS}
    return Heads(**{_HEADS[name]: value for name, value in found.items()})


_HEADS = {
    b"authorization": "authorization",
    b"content-length": "length",
    PRIORITY: "priority",
    PATIENCE: "patience",
    _CLIENT_PATIENCE: "client_patience",
}


def _credential(heads: Heads, target: Target | None) -> bytes | None:
    if heads.authorization is None and target is not None and target.key:
        return b"Bearer " + target.key
    return heads.authorization


def _patience(heads: Heads) -> float | None:
    """How long the client waits for its answer to begin; what its library says by itself may be anything."""
    if not heads.patience:
        return _seconds(heads.client_patience)
    seconds = _seconds(heads.patience)
    if seconds is None:
        told = heads.patience[:40].decode("ascii", "replace")
        raise InvalidParameter(
            f'The header {PATIENCE.decode()} must be a number of seconds, more than 0, but is "{told}".'
        )
    return seconds


def _seconds(given: bytes) -> float | None:
    try:
        seconds = float(given)
    except ValueError:
        return None
    return seconds if 0 < seconds < math.inf else None


def _priority(given: bytes) -> str:
    found = _PRIORITIES.get(given.strip().lower())
    if found is None:
        told = given[:40].decode("ascii", "replace")
        raise InvalidParameter(f'The header {PRIORITY.decode()} must be "interactive" or "batch", but is "{told}".')
    return found


def _translated(translation: Translation, body: bytes) -> tuple[bytes, Callable[[Task, bytes], Asked]]:
    """The chat body, and how it is checked: leniently, as another wire format knows its own fields."""
    try:
        return translation.chat(body), requests.read
    except InvalidRequest as error:
        return b"", _refusing(error)
    except RecursionError:
        return b"", _refusing(MalformedBody("The request body is nested too deeply."))


def _refusing(error: InvalidRequest) -> Callable[[Task, bytes], Asked]:
    def refuse(_task: Task, _body: bytes) -> Asked:
        raise error

    return refuse


def find(path: str) -> Target | None:
    """What a path under the prefix addresses, with or without a slash at its end; None if nothing."""
    rest = path[len(PREFIX) :].rstrip("/")
    task = _TASKS.get(rest)
    if task is not None:
        return Target(task=task)
    match rest.split("/"):
        case [name, "invocations"] if name:
            return Target(endpoint=name)
        case [name, "served-models", entity, "invocations"] if name and entity:
            return Target(endpoint=name, entity=entity)
        case [only] if only == _MODELS:
            return Target(lists=True)
        case [listed, name] if listed == _MODELS and name:
            return Target(endpoint=name, lists=True)
    return None
