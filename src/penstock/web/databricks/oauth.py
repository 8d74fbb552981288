"""OAuth for service principals, and what clients look up before their first call."""

import base64
import binascii
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from penstock.control.client_secrets import AccessToken, ClientSecrets
from penstock.domain.access import parse_scope
from penstock.domain.authorization_details import detail_of, endpoint_in
from penstock.domain.errors import InvalidParameter, PermissionDenied
from penstock.web.audited import note_object
from penstock.web.guard import Access, allows, authorization, guarded_router, whole_body
from penstock.web.json_body import text_problem
from penstock.web.origin import OriginDep

_ANYONE = allows(Access.ANYONE)
_APPLICATION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CLIENT = "client_credentials"
_TOKEN = "urn:ietf:params:oauth:grant-type:jwt-bearer"  # noqa: S105 - the name of a grant
_NOT_STORED = {"cache-control": "no-store"}


def router(secrets: ClientSecrets, workspace_id: str) -> APIRouter:
    """The token endpoint and the discovery documents."""
    routes = guarded_router()

    @routes.get("/.well-known/databricks-config", openapi_extra=_ANYONE)
    async def config(origin: OriginDep) -> dict[str, str]:
        return {"oidc_endpoint": f"{origin}/oidc", "workspace_id": workspace_id}

    @routes.get("/oidc/.well-known/oauth-authorization-server", openapi_extra=_ANYONE)
    @routes.get("/oidc/.well-known/openid-configuration", openapi_extra=_ANYONE)
    async def server(origin: OriginDep) -> dict[str, object]:
        oidc = f"{origin}/oidc"
        return {
            "issuer": oidc,
            # clients ask for the key; there is no page behind it, as there are no users to send to one
            "authorization_endpoint": f"{oidc}/v1/authorize",
            "token_endpoint": f"{oidc}/v1/token",
            "grant_types_supported": [_CLIENT, _TOKEN],
            "scopes_supported": ["all-apis", "serving"],
            "authorization_details_types_supported": ["workspace_permission"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }

    @routes.post("/oidc/v1/token", openapi_extra=_ANYONE)
    async def token(request: Request) -> JSONResponse:
        return await _exchange(secrets, request)

    return routes


async def _exchange(secrets: ClientSecrets, request: Request) -> JSONResponse:
    form = dict(parse_qsl((await whole_body(request)).decode("utf-8", "replace")))
    if form.get("grant_type") not in (_CLIENT, _TOKEN):
        return _refusal(400, "unsupported_grant_type", f"grant_type must be {_CLIENT} or {_TOKEN}.")
    try:
        endpoint_id = endpoint_in(form["authorization_details"]) if "authorization_details" in form else None
    except InvalidParameter as error:
        return _refusal(400, "invalid_authorization_details", error.message)
    try:
        if form["grant_type"] == _TOKEN:
            return await _of_token(secrets, request, form, endpoint_id)
        return await _of_client(secrets, request, form, endpoint_id)
    except PermissionDenied as error:
        return _refusal(400, "invalid_authorization_details", error.message)


async def _of_client(
    secrets: ClientSecrets, request: Request, form: Mapping[str, str], endpoint_id: str | None
) -> JSONResponse:
    """A token for a client's secret; for one endpoint, if it is asked for so."""
    credentials = _credentials(authorization(request.scope["headers"]), form)
    if credentials is None:
        return _refusal(401, "invalid_client", "Send client_id and client_secret, as Basic credentials or in the form.")
    if _APPLICATION.fullmatch(credentials[0]):  # anything else may be a secret in the wrong field
        note_object(request, credentials[0])
    try:
        scope = parse_scope(form.get("scope", ""), "scope")
    except InvalidParameter as error:
        return _refusal(400, "invalid_scope", error.message)
    made = await secrets.exchange(*credentials, scope, endpoint_id)
    if made is None:
        return _refusal(401, "invalid_client", "The client id or its secret is wrong or expired.")
    return _answer(made, endpoint_id)


async def _of_token(
    secrets: ClientSecrets, request: Request, form: Mapping[str, str], endpoint_id: str | None
) -> JSONResponse:
    """A token for one endpoint, for a token that its holder has already."""
    if endpoint_id is None:
        return _refusal(400, "invalid_request", "authorization_details must be given with this grant_type.")
    note_object(request, endpoint_id)
    made = await secrets.narrowed(form.get("assertion", ""), endpoint_id)
    if made is None:
        return _refusal(400, "invalid_grant", "assertion must be an OAuth access token of this server that is valid.")
    return _answer(made, endpoint_id)


def _answer(made: AccessToken, endpoint_id: str | None) -> JSONResponse:
    told: dict[str, object] = {
        "access_token": made.value,
        "token_type": "Bearer",
        "expires_in": made.seconds,
        "scope": made.scope.value,
    }
    if endpoint_id is not None:
        told["authorization_details"] = [detail_of(endpoint_id)]
    return JSONResponse(told, headers=_NOT_STORED)


def _credentials(header: bytes | None, form: Mapping[str, str]) -> tuple[str, str] | None:
    if header is None:
        return _both(form.get("client_id", ""), form.get("client_secret", ""))
    kind, _, value = header.partition(b" ")
    if kind.lower() != b"basic":
        return None
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return _both(unquote_plus(user), unquote_plus(password))


def _both(client_id: str, secret: str) -> tuple[str, str] | None:
    whole = client_id and secret and not text_problem(client_id) and not text_problem(secret)
    return (client_id, secret) if whole else None


def _refusal(status: int, error: str, description: str) -> JSONResponse:
    """An error in OAuth's shape, which its clients expect here instead of the API's."""
    headers = dict(_NOT_STORED)
    if status == 401:  # noqa: PLR2004 - Unauthorized
        headers["www-authenticate"] = 'Basic realm="penstock"'
    return JSONResponse({"error": error, "error_description": description}, status, headers)
