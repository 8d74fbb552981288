"""Wires who is calling, and what they keep secret."""

import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass

from penstock.bootstrap.secrets import make_secrets
from penstock.control.acl_changes import AclChanges
from penstock.control.audit import Audit
from penstock.control.authenticator import Authenticator
from penstock.control.client_secrets import ClientSecrets
from penstock.control.groups import Groups
from penstock.control.installation import Installation, prepare
from penstock.control.loop import Loop
from penstock.control.permissions import EndpointPermissions
from penstock.control.principals import Principals
from penstock.control.secret_scopes import SecretScopes
from penstock.control.secrets import Secrets
from penstock.control.tokens import Tokens
from penstock.domain.errors import Temporary
from penstock.ports.clock import Clock
from penstock.ports.store import Store
from penstock.settings import Settings


@dataclass(frozen=True, slots=True)
class AccessParts:
    """The installation with its administrator, who knows callers, and their tokens and secrets."""

    installation: Installation
    authenticator: Authenticator
    tokens: Tokens
    principals: Principals
    groups: Groups
    permissions: EndpointPermissions
    acls: AclChanges
    client_secrets: ClientSecrets
    secrets: Secrets
    secret_scopes: SecretScopes
    audit: Audit
    loops: tuple[Loop, ...]


async def make_access(settings: Settings, store: Store, clock: Clock, stack: AsyncExitStack) -> AccessParts:
    """All of it; raises InvalidParameter if the master key of secrets cannot be had."""
    given = settings.access
    given_token = settings.admin.token.get_secret_value() if settings.admin.token else None
    installation = await prepare(store, clock, given_token)
    audit = Audit(store, clock, days=given.audit_days)
    stack.push_async_callback(audit.finish)
    authenticator = Authenticator(store, clock)
    stack.push_async_callback(_last_uses, authenticator)
    tokens = Tokens(store, clock, authenticator, quota=given.token_quota, longest_s=given.token_lifetime_s or None)
    acls = AclChanges()
    principals = Principals(store, clock, authenticator, acls)
    secrets, secret_scopes, memory = await make_secrets(settings, store, principals, clock)
    return AccessParts(
        installation=installation,
        authenticator=authenticator,
        tokens=tokens,
        principals=principals,
        groups=Groups(store, clock, principals, acls, memory),
        permissions=EndpointPermissions(store, acls),
        acls=acls,
        client_secrets=ClientSecrets(store, clock, token_s=given.oauth_lifetime_s),
        secrets=secrets,
        secret_scopes=secret_scopes,
        audit=audit,
        loops=(
            Loop("audit log", audit.step, clock, period_s=1),
            Loop("token uses", authenticator.write_uses, clock, period_s=given.write_uses_s),
            Loop("token sweep", tokens.sweep, clock, period_s=settings.sweep.period_s),
        ),
    )


async def _last_uses(authenticator: Authenticator) -> None:
    # A database that is away when the server stops costs the times of a minute, and must not keep it from stopping.
    with contextlib.suppress(Temporary):
        await authenticator.write_uses()
