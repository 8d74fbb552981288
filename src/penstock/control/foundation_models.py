"""Makes the server's catalogue agree with the shelf.

Models that came are registered in `system.ai` and have their endpoints, paid by the token; those that are not wanted
any more go. Safe to be killed anywhere.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from penstock.control.bases import problem
from penstock.control.credentials import new_id
from penstock.control.namespaces import ALL, ensure_parents
from penstock.control.usage_of_models import endpoints_using
from penstock.control.versions import NewVersion, Versions
from penstock.domain.access import USERS, Caller, PermissionLevel, Principal, PrincipalKind, Scope
from penstock.domain.acl import Acl, Grantee, GranteeKind
from penstock.domain.catalog import ModelVersion, RegisteredModel, Tags, VersionStatus
from penstock.domain.endpoint import Config, Endpoint, Outcome
from penstock.domain.foundation import Foundation, FoundationModel
from penstock.domain.grant import READ
from penstock.domain.served_entity import ServedEntity
from penstock.domain.system import AI_SCHEMA, SYSTEM
from penstock.domain.traffic import Route
from penstock.domain.version_filter import VersionFilter
from penstock.ports.artifacts import ArtifactStore
from penstock.ports.clock import Clock
from penstock.ports.shelf import Mark, Shelf
from penstock.ports.store import Store, Unit

_WE = Caller(Principal("0", SYSTEM, SYSTEM, PrincipalKind.SERVICE_PRINCIPAL, frozenset()), Scope.ALL_APIS, "")


class FoundationModels:
    """One step of it; `penstock.control.loop` runs it. `hint` wakes the reconciler for an endpoint's id."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        shelf: Shelf,
        foundation: Foundation,
        *,
        versions: Versions,
        artifacts: ArtifactStore,
        hint: Callable[[str], None],
        new_id: Callable[[], str] = new_id,
    ) -> None:
        self._store = store
        self._clock = clock
        self._shelf = shelf
        self._foundation = foundation
        self._versions = versions
        self._artifacts = artifacts
        self._hint = hint
        self._new_id = new_id
        self._settled: Mapping[str, Mark] | None = None
        self._changed: list[str] = []

    async def prepare(self) -> None:
        """The system's catalog and schema are there, before anybody else may take their names."""
        async with self._store.unit() as unit:
            await ensure_parents(unit, _WE, AI_SCHEMA, self._clock.now_ms())
            catalog = await unit.catalog.catalog(AI_SCHEMA.catalog)
            assert catalog is not None
            await unit.grants.put(catalog.id, {USERS: READ})

    async def step(self) -> str:
        """Looks at the shelf; says what was done. Nothing is looked up while the shelf is as it was."""
        marks = await asyncio.to_thread(self._shelf.marks)
        if marks == self._settled:
            return ""
        said: list[str] = []
        settled, known = True, await self._known()
        for model in self._foundation.models:
            mark = marks.get(model.name)
            if mark is None:
                settled &= model.name not in known or await self._drop(model, said)
                continue
            version = await self._newest(model)
            if version is None or version.source != mark.source:
                version = await self._take(model, mark, said) or version
            settled &= version is not None and version.source == mark.source
            await self._serve(model, version, said)
        self._settled = marks if settled else None
        for endpoint_id in self._changed:
            self._hint(endpoint_id)
        self._changed.clear()
        return "; ".join(said)

    async def _known(self) -> frozenset[str]:
        """The names of what is registered."""
        async with self._store.unit() as unit:
            found = await unit.catalog.models(catalog=AI_SCHEMA.catalog, schema=AI_SCHEMA.schema, limit=ALL)
        return frozenset(one.name.model for one in found)

    async def _newest(self, model: FoundationModel) -> ModelVersion | None:
        """The newest version whose files are here."""
        async with self._store.unit() as unit:
            found = await unit.catalog.versions(VersionFilter(model=str(model.full_name)), limit=ALL)
        return next((one for one in found if one.status is VersionStatus.READY), None)

    async def _take(self, model: FoundationModel, mark: Mark, said: list[str]) -> ModelVersion | None:
        """Registers what came as the next version; None if nothing did."""
        files = await asyncio.to_thread(lambda: list(self._shelf.arrived(model.name)))
        if not files:
            return None
        async with self._store.unit() as unit:
            if await unit.catalog.model(model.full_name) is None:
                await unit.catalog.add_model(self._registered(model))
        new = NewVersion(mark.source, description=self._foundation.description(model), tags=_tags(mark))
        made = await self._versions.create(_WE, model.full_name, new)
        for path, file in files:
            await self._artifacts.adopt(made.storage, path, file)
        version = await self._versions.finalize(model.full_name, made.number, SYSTEM)
        await asyncio.to_thread(self._shelf.taken, model.name)
        why = problem(version)
        said.append(f"{version.label} is here" + (f", but: {why}" if why else ""))
        return version

    def _registered(self, model: FoundationModel) -> RegisteredModel:
        now = self._clock.now_ms()
        return RegisteredModel(
            id=self._new_id(),
            name=model.full_name,
            owner=SYSTEM,
            description=self._foundation.description(model),
            tags=(("family", model.family), ("licence", model.licence)),
            creator=SYSTEM,
            created_at=now,
            updated_by=SYSTEM,
            updated_at=now,
        )

    async def _serve(self, model: FoundationModel, version: ModelVersion | None, said: list[str]) -> None:
        """Its endpoint serves that version; there is none if it cannot."""
        if not model.endpoint:
            return
        async with self._store.unit() as unit:
            endpoint = await unit.endpoints.by_name(model.endpoint)
            if not model.served or version is None or problem(version):
                await self._withdraw(unit, endpoint, said)
                return
            told = self._told(model)
            if endpoint is not None and endpoint.description != told:
                await unit.endpoints.set_description(endpoint.id, told)
            now = self._clock.now_ms()
            if endpoint is None:
                endpoint = self._endpoint(model, version, now)
                await unit.endpoints.add(endpoint)
            elif _number(endpoint) == version.number:
                return
            else:
                config = _config(model, version, now, after=endpoint.latest.version if endpoint.latest else 0)
                await unit.endpoints.want(endpoint.id, config, now)
                endpoint = replace(endpoint, latest=config)
            assert endpoint.latest is not None
            # Nothing stands by for it, so that there is nothing to wait for.
            await unit.endpoints.end(endpoint.id, endpoint.latest.version, Outcome.ACTIVE, "", now)
        self._changed.append(endpoint.id)
        said.append(f"endpoint {endpoint.name} serves {version.label}")

    def _told(self, model: FoundationModel) -> str:
        """Its endpoint's description, as long as one may be."""
        return self._foundation.description(model)[:1000]

    def _endpoint(self, model: FoundationModel, version: ModelVersion, now: int) -> Endpoint:
        return Endpoint(
            id=self._new_id(),
            name=model.endpoint,
            creator=SYSTEM,
            created_at=now,
            updated_at=now,
            description=self._told(model),
            route_optimized=False,
            tags=(),
            active=None,
            latest=_config(model, version, now, after=0),
            acl=Acl({Grantee(GranteeKind.GROUP, USERS): PermissionLevel.CAN_QUERY}),
        )

    async def _withdraw(self, unit: Unit, endpoint: Endpoint | None, said: list[str]) -> None:
        if endpoint is not None:
            await unit.endpoints.mark_deleted(endpoint.id, self._clock.now_ms())
            self._changed.append(endpoint.id)
            said.append(f"endpoint {endpoint.name} is gone")

    async def _drop(self, model: FoundationModel, said: list[str]) -> bool:
        """Removes a model that is not wanted any more; False while somebody's endpoint serves it."""
        storages: Sequence[str] = ()
        async with self._store.unit() as unit:
            await self._withdraw(unit, await unit.endpoints.by_name(model.endpoint) if model.endpoint else None, said)
            registered = await unit.catalog.model(model.full_name)
            if registered is None:
                return True
            if await endpoints_using(unit, str(model.full_name)):
                return False
            found = await unit.catalog.versions(VersionFilter(model=str(model.full_name)), limit=ALL)
            storages = [one.storage for one in found]
            await unit.catalog.remove_model(model.full_name)
            await unit.grants.forget(registered.id)
        for storage in storages:
            await self._artifacts.remove(storage)
        said.append(f"{model.full_name} is gone")
        return True


def _config(model: FoundationModel, version: ModelVersion, now: int, *, after: int) -> Config:
    """Nothing reserved and nothing standing by: replicas come when they are asked for."""
    assert version.facts is not None
    entity = ServedEntity(model.endpoint, version.model, str(version.number), 0, 0, scale_to_zero_enabled=True)
    route = Route(entity.name, 100)
    return Config(after + 1, (entity,), (route,), version.facts.task, SYSTEM, now)


def _tags(mark: Mark) -> Tags:
    """Which revision of its repository a version is."""
    told = {"commit": mark.commit, "revision": mark.revision}
    return tuple((key, value) for key, value in told.items() if value)


def _number(endpoint: Endpoint) -> int:
    """The version of the model that serves."""
    entities = endpoint.active.entities if endpoint.active is not None else ()
    return int(entities[0].entity_version) if entities else 0
