"""What must be there before the first request: the installation's number, and an administrator with a token."""

from dataclasses import dataclass

from penstock.control.credentials import TOKEN_PREFIX, digest, new_id, new_number, new_value
from penstock.domain.access import ADMINS, USERS, Principal, PrincipalKind, Scope, Token, TokenKind
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit

ADMINISTRATOR = "admin"


@dataclass(frozen=True, slots=True)
class Installation:
    """The installation's number, and the administrator's token if it was made just now and is to be told."""

    workspace_id: str
    first_token: str | None


async def prepare(store: Store, clock: Clock, given_token: str | None) -> Installation:
    """Makes what is missing, in one unit.

    `given_token` becomes the administrator's, in place of one given before. Without it, one is made at the first start.
    """
    async with store.unit() as unit:
        workspace_id = await unit.access.workspace_id()
        first = workspace_id is None
        if workspace_id is None:
            workspace_id = new_number()
            await unit.access.set_workspace_id(workspace_id)
            await unit.access.add_principal(_administrator(), clock.now_ms())
        administrator = await unit.access.principal_named(ADMINISTRATOR)
        if given_token is not None:
            await _install(unit, clock, administrator or await _restored(unit, clock), given_token)
            return Installation(workspace_id, None)
        if not first or administrator is None:
            return Installation(workspace_id, None)
        value = new_value(TOKEN_PREFIX)
        await unit.access.add_token(_token(administrator, TokenKind.FIRST, clock), digest(value))
        return Installation(workspace_id, value)


async def _install(unit: Unit, clock: Clock, administrator: Principal, value: str) -> None:
    found = await unit.access.by_digest(digest(value))
    kept = found[0] if found and found[0].kind is TokenKind.ENVIRONMENT else None
    for former in await unit.access.tokens_of_kind(TokenKind.ENVIRONMENT):
        if former != kept:
            await unit.access.remove_token(former.id)
    if kept is None:
        if found:
            # A token that was made in another way is now this one, and ends when this one is changed.
            await unit.access.remove_token(found[0].id)
        await unit.access.add_token(_token(administrator, TokenKind.ENVIRONMENT, clock), digest(value))


async def _restored(unit: Unit, clock: Clock) -> Principal:
    """The administrator's account anew, for whoever removed it and now sets a token for it."""
    administrator = _administrator()
    await unit.access.add_principal(administrator, clock.now_ms())
    return administrator


def _administrator() -> Principal:
    return Principal(new_number(), ADMINISTRATOR, "Administrator", PrincipalKind.USER, frozenset({ADMINS, USERS}))


def _token(owner: Principal, kind: TokenKind, clock: Clock) -> Token:
    return Token(new_id(), owner.id, kind, Scope.ALL_APIS, f"administrator ({kind})", clock.now_ms())
