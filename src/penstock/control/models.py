"""Use cases of registered models, their aliases and tags."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.control.credentials import new_id
from penstock.control.namespaces import ALL, ensure_parents
from penstock.control.usage_of_models import endpoints_using
from penstock.domain.access import Caller
from penstock.domain.catalog import (
    ModelVersion,
    RegisteredModel,
    Tags,
    VersionStatus,
    check_alias,
    check_owner,
    check_tag,
    check_text,
    check_unused,
)
from penstock.domain.errors import Conflict, DoesNotExist
from penstock.domain.names import ModelName
from penstock.domain.system import check_not_system
from penstock.domain.version_filter import VersionFilter
from penstock.ports.artifacts import ArtifactStore
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit


@dataclass(frozen=True, slots=True)
class ModelChange:
    """What to change; None leaves as it is."""

    name: ModelName | None = None
    description: str | None = None
    owner: str | None = None


class Models:
    """Registered models."""

    def __init__(self, store: Store, clock: Clock, artifacts: ArtifactStore) -> None:
        self._store = store
        self._clock = clock
        self._artifacts = artifacts

    async def create(self, caller: Caller, name: ModelName, description: str, tags: Tags) -> RegisteredModel:
        """Adds a model, and its catalog and schema on first use; raises AlreadyExists."""
        check_not_system(name.catalog)
        who, now = caller.principal.name, self._clock.now_ms()
        model = RegisteredModel(
            id=new_id(),
            name=name,
            owner=who,
            description=check_text(description, "description"),
            tags=tuple(sorted(dict(check_tag(*tag) for tag in tags).items())),
            creator=who,
            created_at=now,
            updated_by=who,
            updated_at=now,
        )
        async with self._store.unit() as unit:
            await ensure_parents(unit, caller, name.parent, now)
            await unit.catalog.add_model(model)
        return model

    async def get(self, name: ModelName) -> RegisteredModel:
        """One model; raises DoesNotExist."""
        async with self._store.unit() as unit:
            return await existing_model(unit, name)

    async def list(
        self, *, catalog: str | None = None, schema: str | None = None, after: ModelName | None = None, limit: int
    ) -> Sequence[RegisteredModel]:
        """Models by full name."""
        async with self._store.unit() as unit:
            return await unit.catalog.models(catalog=catalog, schema=schema, after=after, limit=limit)

    async def change(self, caller: Caller, name: ModelName, change: ModelChange) -> RegisteredModel:
        """Changes a model. Renaming moves it to any schema, which is made on first use; nothing may serve it then.

        Raises AlreadyExists if the new name is taken.
        """
        check_not_system(name.catalog)
        if change.name is not None:
            check_not_system(change.name.catalog)
        now = self._clock.now_ms()
        async with self._store.unit() as unit:
            model = await existing_model(unit, name)
            if change.name is not None and change.name != name:
                check_owner(caller, model.owner, f"rename model '{name}'")
                check_unused(f"model '{name}'", await endpoints_using(unit, str(name)), "rename")
                await ensure_parents(unit, caller, change.name.parent, now)
            if change.owner is not None:
                check_owner(caller, model.owner, f"change the owner of model '{name}'")
            changed = replace(
                model,
                name=change.name or name,
                description=model.description
                if change.description is None
                else check_text(change.description, "description"),
                owner=change.owner or model.owner,
                updated_by=caller.principal.name,
                updated_at=now,
            )
            await unit.catalog.save_model(changed)
        return changed

    async def remove(self, caller: Caller, name: ModelName) -> None:
        """Removes a model with its versions and their files; raises Conflict if an endpoint serves it."""
        check_not_system(name.catalog)
        async with self._store.unit() as unit:
            model = await existing_model(unit, name)
            check_owner(caller, model.owner, f"delete model '{name}'")
            check_unused(f"model '{name}'", await endpoints_using(unit, str(name)), "delete")
            versions = await unit.catalog.versions(VersionFilter(model=str(name)), limit=ALL)
            await unit.catalog.remove_model(name)
            await unit.grants.forget(model.id)
        for version in versions:
            await self._artifacts.remove(version.storage)

    async def set_alias(self, name: ModelName, alias: str, number: int) -> str:
        """Points an alias at a version and returns it folded; DoesNotExist, or Conflict if the version failed."""
        check_not_system(name.catalog)
        folded = check_alias(alias)
        async with self._store.unit() as unit:
            await existing_model(unit, name)
            version = await existing_version(unit, name, number)
            if version.status is VersionStatus.FAILED_REGISTRATION:
                raise Conflict(f"Alias {alias!r} cannot point at {version.label}, whose registration failed.")
            await unit.catalog.set_alias(name, folded, number)
        return folded

    async def by_alias(self, name: ModelName, alias: str) -> ModelVersion:
        """The version that the alias points at; raises DoesNotExist."""
        folded = check_alias(alias)
        async with self._store.unit() as unit:
            model = await existing_model(unit, name)
            number = dict(model.aliases).get(folded)
            if number is None:
                raise DoesNotExist(f"Model '{name}' has no alias '{alias}'.")
            return await existing_version(unit, name, number)

    async def remove_alias(self, name: ModelName, alias: str) -> None:
        """Removes an alias; does nothing if the model has none of that name."""
        check_not_system(name.catalog)
        folded = check_alias(alias)
        async with self._store.unit() as unit:
            await existing_model(unit, name)
            await unit.catalog.remove_alias(name, folded)

    async def change_tags(self, name: ModelName, number: int | None, add: Tags, remove: Sequence[str]) -> Tags:
        """Sets and removes tags of a version, or of the model where `number` is None; returns what it then has."""
        check_not_system(name.catalog)
        checked = [check_tag(*tag) for tag in add]
        async with self._store.unit() as unit:
            await self._tagged(unit, name, number)
            for key, value in checked:
                await unit.catalog.set_tag(name, number, key, value)
            for key in remove:
                await unit.catalog.remove_tag(name, number, key)
            return (await self._tagged(unit, name, number)).tags

    async def _tagged(self, unit: Unit, name: ModelName, number: int | None) -> RegisteredModel | ModelVersion:
        if number is None:
            return await existing_model(unit, name)
        return await existing_version(unit, name, number)


async def existing_model(unit: Unit, name: ModelName) -> RegisteredModel:
    """The model; raises DoesNotExist."""
    model = await unit.catalog.model(name)
    if model is None:
        raise DoesNotExist(f"Registered model '{name}' does not exist.")
    return model


async def existing_version(unit: Unit, name: ModelName, number: int) -> ModelVersion:
    """The version; raises DoesNotExist."""
    version = await unit.catalog.version(str(name), number)
    if version is None:
        raise DoesNotExist(f"Version {number} of registered model '{name}' does not exist.")
    return version
