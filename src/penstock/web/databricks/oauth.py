"""OAuth for service principals, and what clients look up before their first call."""

import base64
import binascii
import re
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from penstock.control.client_secrets import ClientSecrets
from penstock.domain.access import parse_scope
from penstock.domain.errors import InvalidParameter
from penstock.web.audited import note_object
from penstock.web.guard import Access, allows, authorization, guarded_router

_ANYONE = allows(Access.ANYONE)
_APPLICATION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_GRANT = "client_credentials"


def router(secrets: ClientSecrets, workspace_id: str, public_url: str) -> APIRouter:
    """The token endpoint and the discovery documents. `public_url` empty: addresses are as the request named them."""
    routes = guarded_router()

    def base(request: Request) -> str:
        return public_url or f"{request.url.scheme}://{request.headers.get('host', '')}"

    @routes.get("/.well-known/databricks-config", openapi_extra=_ANYONE)
    async def config(request: Request) -> dict[str, str]:
        return {"oidc_endpoint": f"{base(request)}/oidc", "workspace_id": workspace_id}

    @routes.get("/oidc/.well-known/oauth-authorization-server", openapi_extra=_ANYONE)
    @routes.get("/oidc/.well-known/openid-configuration", openapi_extra=_ANYONE)
    async def server(request: Request) -> dict[str, object]:
        oidc = f"{base(request)}/oidc"
        return {
            "issuer": oidc,
            # clients ask for the key; there is no page behind it, as there are no users to send to one
            "authorization_endpoint": f"{oidc}/v1/authorize",
            "token_endpoint": f"{oidc}/v1/token",
            "grant_types_supported": [_GRANT],
            "scopes_supported": ["all-apis", "serving"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }

    @routes.post("/oidc/v1/token", openapi_extra=_ANYONE)
    async def token(request: Request) -> JSONResponse:
        return await _exchange(secrets, request)

    return routes


async def _exchange(secrets: ClientSecrets, request: Request) -> JSONResponse:
    form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
    if form.get("grant_type") != _GRANT:
        return _refusal(400, "unsupported_grant_type", f"grant_type must be {_GRANT}.")
    credentials = _credentials(authorization(request.scope["headers"]), form)
    if credentials is None:
        return _refusal(401, "invalid_client", "Send client_id and client_secret, as Basic credentials or in the form.")
    if _APPLICATION.fullmatch(credentials[0]):  # anything else may be a secret in the wrong field
        note_object(request, credentials[0])
    try:
        scope = parse_scope(form.get("scope", ""), "scope")
    except InvalidParameter as error:
        return _refusal(400, "invalid_scope", error.message)
    value = await secrets.exchange(*credentials, scope)
    if value is None:
        return _refusal(401, "invalid_client", "The client id or its secret is wrong or expired.")
    return JSONResponse(
        {"access_token": value, "token_type": "Bearer", "expires_in": secrets.token_s, "scope": scope.value},
        headers={"cache-control": "no-store"},
    )


def _credentials(header: bytes | None, form: dict[str, str]) -> tuple[str, str] | None:
    if header is None:
        client_id, secret = form.get("client_id"), form.get("client_secret")
        return (client_id, secret) if client_id and secret else None
    kind, _, value = header.partition(b" ")
    if kind.lower() != b"basic":
        return None
    try:
        user, separator, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (unquote_plus(user), unquote_plus(password)) if separator else None


def _refusal(status: int, error: str, description: str) -> JSONResponse:
    """An error in OAuth's shape, which its clients expect here instead of the API's."""
    headers = {"cache-control": "no-store"}
    if status == 401:  # noqa: PLR2004 - Unauthorized
        headers["www-authenticate"] = 'Basic realm="penstock"'
    return JSONResponse({"error": error, "error_description": description}, status, headers)
