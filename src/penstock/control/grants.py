"""Use cases of grants on catalogs, schemas and models, and what is asked before a use case of the catalogue."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from penstock.domain.access import Caller, Principal
from penstock.domain.errors import DoesNotExist
from penstock.domain.grant import (
    Chain,
    Effective,
    GrantChange,
    Grants,
    Privilege,
    Securable,
    SecurableKind,
    changed,
    effective,
    require,
    require_manager,
    sees,
)
from penstock.domain.names import ModelName, SchemaName
from penstock.ports.store import Store, Unit

Name = str | SchemaName | ModelName
"""Of a catalog, a schema or a model."""
_Thing = TypeVar("_Thing")


class CatalogGrants:
    """Who may do what with the catalogue."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, caller: Caller, name: Name) -> Grants:
        """What is granted on it, without what passes down; raises DoesNotExist, PermissionDenied if it is not seen."""
        return (await self._seen(caller, name))[-1].grants

    async def effective(self, caller: Caller, name: Name) -> Mapping[str, Sequence[Effective]]:
        """What is granted on it and on its parents; raises what `of` raises."""
        return effective(await self._seen(caller, name))

    async def _seen(self, caller: Caller, name: Name) -> Chain:
        async with self._store.unit() as unit:
            chain = await _whole(unit, name)
        if not sees(caller.principal, chain):
            # the privilege that is told is the first one that opens it
            require(caller.principal, chain, Privilege.EXECUTE)
        return chain

    async def change(self, caller: Caller, name: Name, changes: Sequence[GrantChange]) -> Grants:
        """Grants and revokes, at once; returns what is granted then.

        Raises DoesNotExist for a name or grantee that is not there, PermissionDenied, InvalidParameter.
        """
        async with self._store.unit() as unit:
            chain = await _whole(unit, name)
            require_manager(caller.principal, chain)
            grants = changed(chain[-1], changes)
            for change in changes:
                if change.add:
                    await _check_grantee(unit, change.principal)
            await unit.grants.put(chain[-1].id, grants)
            return grants

    async def check(self, caller: Caller, name: ModelName, wanted: Privilege) -> ModelName:
        """Returns the model's name; raises PermissionDenied without that privilege on it, or use of its parents.

        A model that is not there is for the use case to miss.
        """
        async with self._store.unit() as unit:
            await require_model(unit, caller.principal, name, wanted)
        return name

    async def check_use(self, caller: Caller, name: str | SchemaName) -> None:
        """Raises PermissionDenied unless the caller may use the catalog, or the schema and its catalog."""
        async with self._store.unit() as unit:
            chain = await chain_of(unit, name)
        if chain and len(chain) == len(levels(name)):
            wanted = Privilege.USE_CATALOG if isinstance(name, str) else Privilege.USE_SCHEMA
            require(caller.principal, chain, wanted)

    async def check_create(self, caller: Caller, name: SchemaName | ModelName) -> None:
        """Raises PermissionDenied unless the caller may make it, and its parents where they are not there yet.

        Everybody may make a catalog.
        """
        async with self._store.unit() as unit:
            chain = await chain_of(unit, name.parent if isinstance(name, ModelName) else name.catalog)
        if chain:
            in_schema = chain[-1].kind is SecurableKind.SCHEMA
            require(caller.principal, chain, Privilege.CREATE_MODEL if in_schema else Privilege.CREATE_SCHEMA)

    async def visible(self, caller: Caller, things: Sequence[_Thing], name: Callable[[_Thing], Name]) -> list[_Thing]:
        """Those of the things that the caller may see."""
        async with self._store.unit() as unit:
            known: dict[Name, bool] = {}
            for one in {name(thing) for thing in things}:
                chain = await chain_of(unit, one)
                known[one] = len(chain) == len(levels(one)) and sees(caller.principal, chain)
        return [thing for thing in things if known[name(thing)]]


async def require_model(unit: Unit, principal: Principal, name: ModelName, wanted: Privilege) -> None:
    """Raises PermissionDenied unless the principal has that privilege on the model, and use of its parents."""
    chain = await chain_of(unit, name)
    if len(chain) == len(levels(name)):
        require(principal, chain, wanted)


def levels(name: Name) -> tuple[str, ...]:
    """The parts of a name."""
    if isinstance(name, str):
        return (name,)
    if isinstance(name, SchemaName):
        return (name.catalog, name.schema)
    return (name.catalog, name.schema, name.model)


async def chain_of(unit: Unit, name: Name) -> Chain:
    """What there is of the name, from the catalog down, with the grants on each."""
    parts = levels(name)
    found: list[Securable] = []
    catalog = await unit.catalog.catalog(parts[0])
    if catalog is not None:
        found.append(Securable(SecurableKind.CATALOG, catalog.name, catalog.id, catalog.owner))
    if found and len(parts) > 1:
        schema = await unit.catalog.schema(SchemaName(parts[0], parts[1]))
        if schema is not None:
            found.append(Securable(SecurableKind.SCHEMA, str(schema.name), schema.id, schema.owner))
            model = await unit.catalog.model(name) if isinstance(name, ModelName) else None
            if model is not None:
                found.append(Securable(SecurableKind.MODEL, str(model.name), model.id, model.owner))
    grants = await unit.grants.of([one.id for one in found])
    return [Securable(one.kind, one.name, one.id, one.owner, grants.get(one.id, {})) for one in found]


async def _whole(unit: Unit, name: Name) -> Chain:
    chain = await chain_of(unit, name)
    if len(chain) < len(levels(name)):
        raise DoesNotExist(f"'{name}' does not exist.")
    return chain


async def _check_grantee(unit: Unit, name: str) -> None:
    if await unit.access.principal_named(name) is None and await unit.groups.named(name) is None:
        raise DoesNotExist(f"changes.principal: there is no user, service principal or group '{name[:255]}'.")
