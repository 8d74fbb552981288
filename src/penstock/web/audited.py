"""What the audit log is told of a control-plane request: noted by the guard, made an entry of at the boundary."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.types import Scope

from penstock.domain.audit_entry import NAMING, AuditEntry, clean, is_kept, name_of, type_of

_NAMES = ("name", "catalog_name", "schema_name", "model_name", "version", "scope", "key", *NAMING)
_Named = msgspec.defstruct("_Named", [(name, Any, None) for name in _NAMES])


def note_route(request: Request, path: str) -> None:
    """The route that was found, with the values in its path."""
    request.state.audited = (path, [str(value) for value in request.path_params.values()], {})


def note_object(request: Request, name: str) -> None:
    """What a request is about, where neither its path nor its body says so."""
    request.state.audited[1].append(name)


def note_body(request: Request) -> None:
    """Fields of the JSON body that name an object, if the body was read; no other field is looked at."""
    body = getattr(request, "_body", b"")
    try:
        named = msgspec.json.decode(body, type=_Named) if body else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    found = {name: value for name in _NAMES if isinstance(value := getattr(named, name, None), str | int)}
    request.state.audited[2].update({name: str(value) for name, value in found.items()})


def entry_of(scope: Scope, status: int) -> AuditEntry | None:
    """The entry of a request that has ended; None if it is not for the audit log, or reached no route."""
    state = scope["state"]
    if "audited" not in state or not is_kept(scope["method"], status):
        return None
    route, params, body = state["audited"]
    caller = state.get("caller")
    headers = {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}
    return AuditEntry(
        id="",
        at=0,
        principal=caller.principal.name if caller else "",
        token_id=caller.token_id if caller else "",
        method=scope["method"],
        route=route,
        object_type=type_of(route),
        object_name=name_of(params, body),
        address=scope["client"][0] if scope.get("client") else "",
        forwarded_for=clean(headers.get(b"x-forwarded-for", "")),
        user_agent=clean(headers.get(b"user-agent", "")),
        status=status,
        error_code=state.get("error_code", ""),
        request_id=state["request_id"],
    )
