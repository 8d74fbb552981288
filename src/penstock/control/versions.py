"""Use cases of model versions: registered, finalized, changed, removed."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from penstock.control.credentials import new_id
from penstock.control.models import existing_model, existing_version
from penstock.control.usage_of_models import endpoints_using
from penstock.domain.access import Caller
from penstock.domain.catalog import (
    RUN_ID_LIMIT,
    Lineage,
    ModelVersion,
    Tags,
    VersionStatus,
    check_lineage,
    check_owner,
    check_tag,
    check_text,
    check_unused,
    check_writable,
)
from penstock.domain.errors import DoesNotExist
from penstock.domain.names import ModelName
from penstock.domain.system import check_not_system
from penstock.domain.version_filter import VersionFilter
from penstock.ports.artifacts import ArtifactStore
from penstock.ports.catalog_rows import Outcome
from penstock.ports.clock import Clock
from penstock.ports.model_reader import ModelReader
from penstock.ports.store import Store


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What a client says of a version that it registers."""

    source: str
    run_id: str = ""
    description: str = ""
    tags: Tags = ()
    lineage: Lineage = field(default_factory=Lineage)


class Versions:
    """Model versions."""

    def __init__(self, store: Store, clock: Clock, artifacts: ArtifactStore, reader: ModelReader) -> None:
        self._store = store
        self._clock = clock
        self._artifacts = artifacts
        self._reader = reader

    async def create(self, caller: Caller, name: ModelName, new: NewVersion) -> ModelVersion:
        """Registers the next version of a model that exists; its files may now be uploaded."""
        who, now, storage = caller.principal.name, self._clock.now_ms(), new_id()
        checked = replace(
            new,
            source=check_text(new.source, "source"),
            run_id=check_text(new.run_id, "run_id", RUN_ID_LIMIT),
            description=check_text(new.description, "description"),
            tags=tuple(sorted(dict(check_tag(*tag) for tag in new.tags).items())),
            lineage=check_lineage(new.lineage),
        )
        # The storage first: without its row it is swept some day, while a row without it would be a lie.
        await self._artifacts.create(storage)
        async with self._store.unit() as unit:
            number = await unit.catalog.next_number(name)
            if number is None:
                raise DoesNotExist(f"Registered model '{name}' does not exist.")
            version = ModelVersion(
                model=str(name),
                number=number,
                status=VersionStatus.PENDING_REGISTRATION,
                storage=storage,
                source=checked.source,
                run_id=checked.run_id,
                description=checked.description,
                lineage=checked.lineage,
                tags=checked.tags,
                creator=who,
                created_at=now,
                updated_by=who,
                updated_at=now,
            )
            await unit.catalog.add_version(version)
        return version

    async def get(self, name: ModelName, number: int) -> ModelVersion:
        """One version; raises DoesNotExist."""
        async with self._store.unit() as unit:
            return await existing_version(unit, name, number)

    async def search(self, only: VersionFilter, after: tuple[str, int] | None, limit: int) -> Sequence[ModelVersion]:
        """Versions by model, newest first."""
        async with self._store.unit() as unit:
            return await unit.catalog.versions(only, after=after, limit=limit)

    async def of_model(self, name: ModelName, after: tuple[str, int] | None, limit: int) -> Sequence[ModelVersion]:
        """A model's versions, newest first; raises DoesNotExist if there is no such model."""
        async with self._store.unit() as unit:
            await existing_model(unit, name)
            return await unit.catalog.versions(VersionFilter(model=str(name)), after=after, limit=limit)

    async def finalize(self, name: ModelName, number: int, by: str) -> ModelVersion:
        """Makes the version's files immutable and reads their facts; safe to repeat.

        A version that cannot be served becomes READY all the same, with the reason. Raises Conflict if its
        registration failed.
        """
        version = await self.get(name, number)
        if version.status is VersionStatus.READY:
            return version
        check_writable(version)
        digest = await self._artifacts.seal(version.storage)
        facts = await self._reader.read(self._artifacts.local(version.storage))
        outcome = Outcome(VersionStatus.READY, facts.problem or "", facts, digest, self._clock.now_ms(), by)
        async with self._store.unit() as unit:
            await unit.catalog.end_version(version.model, number, outcome)
            return await existing_version(unit, name, number)

    async def describe(self, caller: Caller, name: ModelName, number: int, description: str) -> ModelVersion:
        """Changes the description, which is all that may change of a finalized version beside aliases and tags."""
        check_not_system(name.catalog)
        async with self._store.unit() as unit:
            version = await existing_version(unit, name, number)
            changed = replace(
                version,
                description=check_text(description, "description"),
                updated_by=caller.principal.name,
                updated_at=self._clock.now_ms(),
            )
            await unit.catalog.save_version(changed)
        return changed

    async def remove(self, caller: Caller, name: ModelName, number: int) -> None:
        """Removes a version with its files; raises Conflict if an endpoint serves it."""
        check_not_system(name.catalog)
        async with self._store.unit() as unit:
            model = await existing_model(unit, name)
            version = await existing_version(unit, name, number)
            if caller.principal.name != version.creator:
                check_owner(caller, model.owner, f"delete {version.label}")
            check_unused(version.label, await endpoints_using(unit, version.model, number), "delete")
            await unit.catalog.remove_version(version.model, number)
        await self._artifacts.remove(version.storage)
