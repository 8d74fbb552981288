"""Secrets: kept by callers, and resolved for requests."""

from collections.abc import Callable, Sequence

from penstock.control.secret_memory import Known, SecretMemory
from penstock.domain.access import Caller, Principal
from penstock.domain.errors import DoesNotExist, InvalidRequest, PermissionDenied, ResourceLimitExceeded
from penstock.domain.secret import (
    MAX_SECRETS,
    OWN,
    AclItem,
    Hidden,
    Permission,
    SecretInfo,
    SecretRecord,
    SecretRef,
    SecretScope,
    check_key,
    check_scope,
    check_value,
    encoded,
    require,
)
from penstock.ports.cipher import Cipher
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit


class Secrets:
    """What callers do with secrets, and what endpoints need of them."""

    def __init__(
        self, store: Store, clock: Clock, cipher: Cipher, memory: SecretMemory, new_id: Callable[[], str]
    ) -> None:
        self._store = store
        self._clock = clock
        self._cipher = cipher
        self._memory = memory
        self._new_id = new_id

    async def put(self, caller: Caller, scope: str, key: str, value: bytes) -> None:
        """Stores a secret, in place of one of the same key.

        Raises InvalidParameter, DoesNotExist for the scope, PermissionDenied, ResourceLimitExceeded.
        """
        ref = SecretRef(check_scope(scope), check_key(key))
        check_value(value, "the secret's value")
        record = SecretRecord(ref, self._cipher.seal(ref, value), self._clock.now_ms())
        async with self._store.unit() as unit:
            await acl_of(unit, scope, caller.principal, Permission.WRITE)
            if await unit.secrets.get(ref) is None and len(await unit.secrets.keys(scope)) >= MAX_SECRETS:
                raise ResourceLimitExceeded(f"Scope {scope} has {MAX_SECRETS} secrets, which is the limit.")
            await unit.secrets.put(record)
        self._memory.forget(scope)

    async def delete(self, caller: Caller, scope: str, key: str) -> None:
        """Removes a secret; raises InvalidParameter, DoesNotExist, PermissionDenied."""
        ref = SecretRef(check_scope(scope), check_key(key))
        async with self._store.unit() as unit:
            await acl_of(unit, scope, caller.principal, Permission.WRITE)
            if not await unit.secrets.remove(ref):
                raise missing(ref)
        self._memory.forget(scope)

    async def list(self, caller: Caller, scope: str) -> Sequence[SecretInfo]:
        """The scope's secrets without values, by key; raises InvalidParameter, DoesNotExist, PermissionDenied."""
        async with self._store.unit() as unit:
            await acl_of(unit, check_scope(scope), caller.principal, Permission.READ)
            return await unit.secrets.keys(scope)

    async def get(self, caller: Caller, scope: str, key: str) -> tuple[str, bytes]:
        """A secret's key and value; raises InvalidParameter, DoesNotExist, PermissionDenied."""
        ref = SecretRef(check_scope(scope), check_key(key))
        async with self._store.unit() as unit:
            await acl_of(unit, scope, caller.principal, Permission.READ)
            record = await unit.secrets.get(ref)
        if record is None:
            raise missing(ref)
        return record.ref.key, self._cipher.open(ref, record.sealed)

    async def resolve(self, ref: SecretRef, reader: Principal) -> Hidden:
        """The secret's text, if `reader` may read it; from memory after the first time, and as it is now.

        Raises DoesNotExist, PermissionDenied, InvalidRequest if it is not text, Temporary if it is not in memory and
        the database is away.
        """
        known = self._memory.get(ref)
        if known is None:
            known = await self._look_up(ref, reader)
        require(reader, known.acl, ref.scope, Permission.READ)
        text = _text(self._cipher.open(ref, known.sealed))
        if text is None:
            raise InvalidRequest(f"The secret {ref} is not UTF-8 text.")
        return Hidden(text)

    async def resolve_as(self, ref: SecretRef, reader: str) -> Hidden:
        """The same for a principal by name, such as an endpoint's creator, with its groups as they are now.

        Raises PermissionDenied also if there is no such principal or it is not active.
        """
        person = self._memory.person(reader)
        if person is None:
            person = await self._look_up_person(reader)
        if not person.active:
            raise PermissionDenied(f"{reader} is not active, so the secret {ref} is not read in its name.")
        return await self.resolve(ref, person)

    async def plant(self, owner: Principal, value: str) -> SecretRef:
        """Stores what a `*_plaintext` field held, where no route finds it; `owner` and administrators may use it.

        The reference goes to `resolve`, and to `uproot` when nothing needs it any more. Raises InvalidParameter.
        """
        ref = SecretRef(f"{OWN}{owner.id}", self._new_id())
        plain = check_value(encoded(value, "the secret"), "the secret")
        record = SecretRecord(ref, self._cipher.seal(ref, plain), self._clock.now_ms())
        async with self._store.unit() as unit:
            if await unit.secrets.scope(ref.scope) is None:
                await unit.secrets.add_scope(SecretScope(ref.scope, self._clock.now_ms()))
                await unit.secrets.put_acl(ref.scope, AclItem(owner.name, Permission.READ))
            await unit.secrets.put(record)
        return ref

    async def uproot(self, ref: SecretRef) -> None:
        """Removes what was planted; nothing happens to a secret that a caller keeps, or to one that is gone."""
        if not ref.own:
            return
        async with self._store.unit() as unit:
            await unit.secrets.remove(ref)
        self._memory.forget(ref.scope)

    async def _look_up(self, ref: SecretRef, reader: Principal) -> Known:
        while True:
            changes = self._memory.changes
            async with self._store.unit() as unit:
                acl = await acl_of(unit, ref.scope, reader, Permission.READ)
                record = await unit.secrets.get(ref)
            # What was read may have been changed while it was on its way here.
            if changes == self._memory.changes:
                break
        if record is None:
            raise missing(ref)
        known = Known(acl, record.sealed)
        self._memory.keep(ref, known)
        return known

    async def _look_up_person(self, name: str) -> Principal:
        while True:
            changes = self._memory.changes
            async with self._store.unit() as unit:
                found = await unit.access.principal_named(name)
            if changes == self._memory.changes:
                break
        if found is None:
            raise PermissionDenied(f"{name} is gone, so secrets are not read in its name.")
        self._memory.keep_person(found)
        return found


def _text(value: bytes) -> str | None:
    # Raising in here would leave the value in the error's context.
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


async def acl_of(unit: Unit, scope: str, principal: Principal, wanted: Permission) -> Sequence[AclItem]:
    """The ACL of a scope that the principal may use like this; raises DoesNotExist, PermissionDenied."""
    if await unit.secrets.scope(scope) is None:
        raise DoesNotExist(f"Scope {scope} does not exist!")
    acl = await unit.secrets.acl(scope)
    require(principal, acl, scope, wanted)
    return acl


def missing(ref: SecretRef) -> DoesNotExist:
    """What is said of a secret that is not there."""
    return DoesNotExist(f"Secret does not exist with scope: {ref.scope} and key: {ref.key}")
