"""Who is calling, from the Authorization header; in memory after the first time."""

import base64
import binascii
from dataclasses import dataclass

from penstock.control.credentials import digest
from penstock.domain.access import Caller
from penstock.domain.errors import PermissionDenied, Unauthenticated
from penstock.ports.clock import Clock
from penstock.ports.store import Store

MAX_KNOWN = 10_000
INVALID = "Invalid access token."
NOT_SENT = "Credential was not sent or was of an unsupported type for this API."


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    expires_at: int | None


class Authenticator:
    """Bearer tokens, and Basic with the user name `token`.

    Callers seen before are answered from memory, so they go on while the database is away; `forget_*` makes a
    revocation count at once. All of it belongs to one event loop.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._used: dict[str, int] = {}
        self._revocations = 0

    def known(self, header: bytes) -> Caller | None:
        """The caller of an Authorization header seen before, None if `authenticate` has to be asked."""
        found = self._known.get(header)
        if found is None:
            return None
        now = self._clock.now_ms()
        if found.expires_at is not None and now >= found.expires_at:
            del self._known[header]
            return None
        self._used[found.caller.token_id] = now
        return found.caller

    async def authenticate(self, header: bytes | None) -> Caller:
        """The caller of an Authorization header.

        Raises Unauthenticated if there is none or of another kind, PermissionDenied if the token is unknown, expired
        or of a principal who is not active, Temporary if that cannot be found out now.
        """
        if header is None:
            raise Unauthenticated(NOT_SENT)
        caller = self.known(header)
        return caller if caller is not None else await self._look_up(header)

    async def _look_up(self, header: bytes) -> Caller:
        wanted = digest(token_in(header))
        while True:
            revocations = self._revocations
            async with self._store.unit() as unit:
                found = await unit.access.by_digest(wanted)
            # What was read may have been revoked while it was on its way here.
            if revocations == self._revocations:
                break
        now = self._clock.now_ms()
        if found is None or not found[0].valid_at(now) or not found[1].active:
            raise PermissionDenied(INVALID)
        token, principal = found
        caller = Caller(principal, token.scope, token.id, token.endpoint_id)
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[header] = _Known(caller, token.expires_at)
        self._used[token.id] = now
        return caller

    def forget_token(self, token_id: str) -> None:
        """The token is gone: its next request is looked up. Call it after the unit that removed it."""
        self._forget([header for header, known in self._known.items() if known.caller.token_id == token_id])

    def forget_principal(self, principal_id: str) -> None:
        """The principal changed: its next request is looked up. Call it after the unit that changed it."""
        self._forget([header for header, known in self._known.items() if known.caller.principal.id == principal_id])

    def _forget(self, headers: list[bytes]) -> None:
        self._revocations += 1
        for header in headers:
            del self._known[header]

    async def write_uses(self) -> str:
        """A loop's step: stores when tokens were last used, in one statement."""
        used, self._used = self._used, {}
        if not used:
            return ""
        try:
            async with self._store.unit() as unit:
                await unit.access.used(used)
        except BaseException:
            # newer uses win over those that could not be written
            self._used = used | self._used
            raise
        return f"noted the last use of {len(used)} tokens"


def token_in(header: bytes) -> str:
    """The token in an Authorization header; raises Unauthenticated if it is of another kind."""
    kind, _, value = header.strip().partition(b" ")
    value = value.strip()
    try:
        if kind.lower() == b"bearer" and value:
            return value.decode("ascii")
        if kind.lower() == b"basic":
            user, separator, password = base64.b64decode(value, validate=True).decode().partition(":")
            if user == "token" and separator and password:
                return password
    except (UnicodeDecodeError, binascii.Error) as error:
        raise Unauthenticated(NOT_SENT) from error
    raise Unauthenticated(NOT_SENT)
