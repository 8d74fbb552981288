"""Access to routes: each declares who may call it, and is guarded before anything of the request is read.

router = guarded_router()

@router.get("/api/2.0/things", openapi_extra=allows(Access.USER))
async def list_things(caller: CallerDep) -> dict[str, object]: ...
"""

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import Message

from penstock.control.audit import Audit
from penstock.control.authenticator import Authenticator
from penstock.domain.access import Caller, Scope, require_admin, require_scope, require_whole
from penstock.domain.audit_entry import READS
from penstock.domain.errors import InvalidParameter, InvalidRequest, PermissionDenied, TooLarge, Unauthenticated
from penstock.web.audited import note_body, note_route
from penstock.web.json_body import check_json, text_problem

DECLARATION = "x-penstock-access"
_STREAMS = "x-penstock-streams"
_SCOPE = "x-penstock-scope"
_CHALLENGE = "x-penstock-challenge"
# Bodies of the control plane are read whole, but for routes that stream.
MAX_JSON_BYTES = 4 * 1024 * 1024
_TOO_LARGE = f"The request body is larger than the {MAX_JSON_BYTES} bytes that this API takes."


class Access(StrEnum):
    """Who may call a route. ANYONE needs no credential; SIGNED carries its permission in a signed address."""

    ANYONE = "anyone"
    SIGNED = "signed"
    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Declared:
    """A route and who may call it. `path` holds parameters in braces."""

    method: str
    path: str
    access: Access


def allows(
    access: Access, *, streams: bool = False, scope: Scope = Scope.ALL_APIS, challenge: bool = False
) -> dict[str, Any]:
    """Declares who may call a route; for its `openapi_extra`.

    A route that `streams` reads a body of any size piece by piece; others refuse more than `MAX_JSON_BYTES`. `scope` is
    what the caller's token must be good for. A route with `challenge` is for browsers: who has no valid token is asked
    for one, as the password of the user `token`.
    """
    return {DECLARATION: access.value, _STREAMS: streams, _SCOPE: scope.value, _CHALLENGE: challenge}


class GuardedRoute(APIRoute):
    """A route that knows its caller before its body is read, and that reads JSON whatever the content type says."""

    @property
    def access(self) -> Access:
        """Who may call it; raises TypeError if it does not say."""
        declared = (self.openapi_extra or {}).get(DECLARATION)
        if declared is None:
            raise TypeError(f"The route {self.path} does not declare its access; see penstock.web.guard.allows.")
        return Access(declared)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with the guard in front."""
        handle = super().get_route_handler()
        access = self.access
        takes_json = self.body_field is not None
        streams = bool((self.openapi_extra or {}).get(_STREAMS))
        scope = Scope((self.openapi_extra or {}).get(_SCOPE, Scope.ALL_APIS))
        challenge = bool((self.openapi_extra or {}).get(_CHALLENGE))

        async def guarded(request: Request) -> Response:
            request.state.challenge = challenge
            note_route(request, self.path)
            await _admit(request, access, scope, self.path)
            if request.method not in READS:
                audit = request.app.state.audit
                assert isinstance(audit, Audit)
                audit.require_room()
            _check_address(request)
            if takes_json:
                headers = [pair for pair in request.scope["headers"] if pair[0] != b"content-type"]
                request.scope["headers"] = [*headers, (b"content-type", b"application/json")]
            taken = request if streams else _bounded(request)
            try:
                if takes_json:
                    check_json(await whole_body(taken))
                return await handle(taken)
            finally:
                if takes_json and request.method not in READS:
                    note_body(taken)

        return guarded


def _check_address(request: Request) -> None:
    """Raises InvalidParameter for a text in the path or the query that no database can hold."""
    if "\0" not in request.scope["path"] and b"%00" not in request.scope["query_string"]:
        return
    given = (*request.path_params.items(), *request.query_params.multi_items())
    for name, value in given:
        if problem := text_problem(str(value)):
            raise InvalidParameter(f"{name} {problem}.")


async def whole_body(request: Request) -> bytes:
    """The whole body; raises InvalidRequest if the client goes away in the middle."""
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise InvalidRequest("The request ended before its body was complete.") from error


def _bounded(request: Request) -> Request:
    """The request with a body that ends in an error when it is too large."""
    for name, value in request.scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > MAX_JSON_BYTES:
            raise TooLarge(_TOO_LARGE)
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        message = await request.receive()
        taken += len(message.get("body", b""))
        if taken > MAX_JSON_BYTES:
            # FastAPI lets this kind through while it reads a body
            raise HTTPException(413, _TOO_LARGE)
        return message

    return Request(request.scope, receive)


async def _admit(request: Request, access: Access, scope: Scope, path: str) -> None:
    if access in (Access.ANYONE, Access.SIGNED):
        return
    authenticator = request.app.state.authenticator
    assert isinstance(authenticator, Authenticator)
    try:
        caller = await authenticator.authenticate(authorization(request.scope["headers"]))
    except PermissionDenied as error:
        if not request.state.challenge:
            raise
        # A browser asks for another password only after this.
        raise Unauthenticated(error.message) from error
    request.state.caller = caller
    require_scope(caller, scope)
    require_whole(caller)
    if access is Access.ADMIN:
        require_admin(caller, f"call {path}")


def authorization(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The Authorization header of an ASGI scope, as it was sent."""
    for name, value in headers:
        if name == b"authorization":
            return value
    return None


def guarded_router() -> APIRouter:
    """A router whose routes are guarded."""
    return APIRouter(route_class=GuardedRoute, redirect_slashes=False)


def declared_routes(routes: Iterable[BaseRoute]) -> list[Declared]:
    """What the routes declare; raises TypeError for one that is not guarded."""
    found: list[Declared] = []
    for route in routes:
        if not isinstance(route, GuardedRoute):
            raise TypeError(f"The route {getattr(route, 'path', route)} is not guarded; see penstock.web.guard.")
        found.extend(Declared(method, route.path, route.access) for method in sorted(route.methods or ()))
    return found


def caller_of(request: Request) -> Caller:
    """The caller of a USER or ADMIN route."""
    caller: Caller = request.state.caller
    return caller


CallerDep = Annotated[Caller, Depends(caller_of)]
