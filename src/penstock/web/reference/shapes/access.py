"""Answers about who is calling: people, tokens, OAuth, secrets, the audit log; and whether the server lives."""

from typing import Any

from msgspec import UNSET, field

from penstock.web.reference.shapes.shape import Maybe, Shape


class Live(Shape):
    """The server runs."""

    status: str


class Ready(Live):
    """Whether the server can do its work, and what each part of it says."""

    services: dict[str, str]


class TokenInfo(Shape):
    """A token; times in milliseconds, -1 for never."""

    token_id: str
    creation_time: int
    expiry_time: int
    comment: str
    scopes: list[str]
    last_used_time: Maybe[int] = UNSET


class NewToken(Shape):
    """A new token, with its value this once."""

    token_value: str
    token_info: TokenInfo


class TokenInfos(Shape):
    """The caller's tokens."""

    token_infos: list[TokenInfo]


class ManagedTokenInfo(Shape):
    """A token of anybody's, with whose it is; times in milliseconds, -1 for never."""

    token_id: str
    creation_time: int
    expiry_time: int
    comment: str
    scopes: list[str]
    owner_id: int
    created_by_id: int
    created_by_username: str
    workspace_id: int
    last_used_day: Maybe[int] = UNSET


class ManagedTokens(Shape):
    """Everybody's tokens."""

    token_infos: list[ManagedTokenInfo]


class ManagedToken(Shape):
    """One of them."""

    token_info: ManagedTokenInfo


class NewManagedToken(Shape):
    """A new token of somebody else's, with its value this once."""

    token_value: str
    token_info: ManagedTokenInfo


class AccessTokenAnswer(Shape):
    """An access token; `expires_in` is seconds."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str
    authorization_details: Maybe[list[dict[str, Any]]] = UNSET


class HostConfig(Shape):
    """What clients look up first."""

    oidc_endpoint: str
    workspace_id: str


class AuthorizationServer(Shape):
    """Where tokens are had, and how."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    grant_types_supported: list[str]
    scopes_supported: list[str]
    authorization_details_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]


class ClientSecretInfo(Shape):
    """A service principal's secret, without its value."""

    id: str
    secret_hash: str
    create_time: str
    update_time: str
    expire_time: str
    status: str


class NewClientSecret(ClientSecretInfo):
    """A new secret, with its value this once."""

    secret: str


class ClientSecretInfos(Shape):
    """A service principal's secrets."""

    secrets: list[ClientSecretInfo]


class SecretScopeInfo(Shape):
    """A scope."""

    name: str
    backend_type: str


class SecretScopeInfos(Shape):
    """All scopes."""

    scopes: list[SecretScopeInfo]


class SecretKey(Shape):
    """A secret without its value."""

    key: str
    last_updated_timestamp: int


class SecretKeys(Shape):
    """The secrets of a scope."""

    secrets: list[SecretKey]


class SecretValue(Shape):
    """A secret; its value in base64."""

    key: str
    value: str


class SecretAcl(Shape):
    """What one may do with a scope."""

    principal: str
    permission: str


class SecretAcls(Shape):
    """A scope's ACL, by two names."""

    items: list[SecretAcl]
    acls: list[SecretAcl]


class AuditRecord(Shape):
    """One request of the audit log."""

    id: str
    timestamp: int
    principal: str
    token_id: str
    action: str
    object_type: str
    object_name: str
    source_ip_address: str
    forwarded_for: str
    user_agent: str
    result: str
    status_code: int
    error_code: str
    request_id: str


class AuditRecords(Shape):
    """A page of the audit log."""

    audit_logs: list[AuditRecord]
    next_page_token: str


class ScimReference(Shape):
    """A group of a principal, or a member of a group."""

    display: str
    value: str
    type: Maybe[str] = UNSET
    ref: Maybe[str] = field(name="$ref", default=UNSET)


class ScimPrincipal(Shape, rename="camel"):
    """A user or a service principal; what was not asked for is absent."""

    schemas: list[str]
    id: str
    display_name: Maybe[str] = UNSET
    active: Maybe[bool] = UNSET
    groups: Maybe[list[ScimReference]] = UNSET
    roles: Maybe[list[Any]] = UNSET
    entitlements: Maybe[list[dict[str, str]]] = UNSET
    external_id: Maybe[str] = UNSET
    user_name: Maybe[str] = UNSET
    application_id: Maybe[str] = UNSET
    emails: Maybe[list[dict[str, Any]]] = UNSET
    name: Maybe[dict[str, str]] = UNSET


class ScimGroup(Shape, rename="camel"):
    """A group; what was not asked for is absent."""

    schemas: list[str]
    id: str
    display_name: Maybe[str] = UNSET
    members: Maybe[list[ScimReference]] = UNSET
    groups: Maybe[list[Any]] = UNSET
    roles: Maybe[list[Any]] = UNSET
    entitlements: Maybe[list[Any]] = UNSET
    meta: Maybe[dict[str, str]] = UNSET


class _ScimList(Shape, rename="camel"):
    schemas: list[str]
    total_results: int
    start_index: int
    items_per_page: int


class ScimPrincipals(_ScimList):
    """A page of users or service principals."""

    resources: list[ScimPrincipal] = field(name="Resources")


class ScimGroups(_ScimList):
    """A page of groups."""

    resources: list[ScimGroup] = field(name="Resources")


class OAuthError(Shape):
    """An error in OAuth's shape."""

    error: str
    error_description: str
