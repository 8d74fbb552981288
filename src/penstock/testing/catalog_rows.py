"""The catalogue in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from penstock.domain.catalog import Catalog, ModelVersion, RegisteredModel, Schema, VersionStatus
from penstock.domain.errors import AlreadyExists
from penstock.domain.names import ModelName, SchemaName
from penstock.domain.version_filter import VersionFilter
from penstock.ports.catalog_rows import Outcome


@dataclass
class FakeCatalogRows:
    """See `penstock.ports.catalog_rows.CatalogRows`."""

    catalog_by_name: dict[str, Catalog] = field(default_factory=dict)
    schema_by_name: dict[SchemaName, Schema] = field(default_factory=dict)
    model_by_id: dict[str, RegisteredModel] = field(default_factory=dict)
    last_number: dict[str, int] = field(default_factory=dict)
    version_by_key: dict[tuple[str, int], ModelVersion] = field(default_factory=dict)
    alias_by_key: dict[tuple[str, str], int] = field(default_factory=dict)
    tag_by_key: dict[tuple[str, int | None, str], str] = field(default_factory=dict)

    async def add_catalog(self, catalog: Catalog) -> None:
        """Adds a catalog."""
        if catalog.name in self.catalog_by_name:
            raise AlreadyExists(f"Catalog '{catalog.name}' already exists.")
        self.catalog_by_name[catalog.name] = catalog

    async def catalog(self, name: str) -> Catalog | None:
        """One catalog."""
        return self.catalog_by_name.get(name)

    async def catalogs(self, *, after: str = "", limit: int = 1000) -> Sequence[Catalog]:
        """Catalogs by name."""
        return [self.catalog_by_name[name] for name in sorted(self.catalog_by_name) if name > after][:limit]

    async def save_catalog(self, catalog: Catalog) -> None:
        """Writes the catalog of that id."""
        self.catalog_by_name = _without(self.catalog_by_name, catalog.id) | {catalog.name: catalog}

    async def remove_catalog(self, name: str) -> None:
        """Removes a catalog."""
        self.catalog_by_name.pop(name, None)

    async def add_schema(self, schema: Schema) -> None:
        """Adds a schema."""
        if schema.name in self.schema_by_name:
            raise AlreadyExists(f"Schema '{schema.name}' already exists.")
        self.schema_by_name[schema.name] = schema

    async def schema(self, name: SchemaName) -> Schema | None:
        """One schema."""
        return self.schema_by_name.get(name)

    async def schemas(self, catalog: str, *, after: str = "", limit: int = 1000) -> Sequence[Schema]:
        """A catalog's schemas by name."""
        names = [name for name in sorted(self.schema_by_name) if name.catalog == catalog and name.schema > after]
        return [self.schema_by_name[name] for name in names[:limit]]

    async def save_schema(self, schema: Schema) -> None:
        """Writes the schema of that id."""
        self.schema_by_name[schema.name] = schema

    async def remove_schema(self, name: SchemaName) -> None:
        """Removes a schema."""
        self.schema_by_name.pop(name, None)

    def _model_named(self, name: ModelName | str) -> RegisteredModel | None:
        return next((model for model in self.model_by_id.values() if str(model.name) == str(name)), None)

    def _id(self, name: ModelName | str) -> str:
        model = self._model_named(name)
        return model.id if model else ""

    def _full(self, model: RegisteredModel) -> RegisteredModel:
        aliases = [(alias, number) for (owner, alias), number in self.alias_by_key.items() if owner == model.id]
        return replace(model, tags=self._tags(model.id, None), aliases=tuple(sorted(aliases)))

    def _tags(self, model_id: str, number: int | None) -> tuple[tuple[str, str], ...]:
        found = [
            (key, value) for (owner, of, key), value in self.tag_by_key.items() if (owner, of) == (model_id, number)
        ]
        return tuple(sorted(found))

    async def add_model(self, model: RegisteredModel) -> None:
        """Adds a registered model with its tags."""
        if self._model_named(model.name):
            raise AlreadyExists(f"Registered model '{model.name}' already exists.")
        self.model_by_id[model.id] = model
        self.last_number[model.id] = 0
        for key, value in model.tags:
            self.tag_by_key[model.id, None, key] = value

    async def model(self, name: ModelName) -> RegisteredModel | None:
        """One registered model."""
        model = self._model_named(name)
        return self._full(model) if model else None

    async def models(
        self,
        *,
        catalog: str | None = None,
        schema: str | None = None,
        after: ModelName | None = None,
        limit: int = 1000,
    ) -> Sequence[RegisteredModel]:
        """Registered models by full name."""
        found = [
            self._full(model)
            for model in self.model_by_id.values()
            if catalog in {None, model.name.catalog}
            and schema in {None, model.name.schema}
            and (after is None or str(model.name) > str(after))
        ]
        return sorted(found, key=lambda model: str(model.name))[:limit]

    async def save_model(self, model: RegisteredModel) -> None:
        """Writes the model of that id."""
        other = self._model_named(model.name)
        if other and other.id != model.id:
            raise AlreadyExists(f"Registered model '{model.name}' already exists.")
        self.model_by_id[model.id] = model

    async def remove_model(self, name: ModelName) -> None:
        """Removes a model with its versions, aliases and tags."""
        model_id = self._id(name)
        for number in [number for owner, number in self.version_by_key if owner == model_id]:
            await self.remove_version(str(name), number)
        self.tag_by_key = {key: value for key, value in self.tag_by_key.items() if key[0] != model_id}
        self.model_by_id.pop(model_id, None)

    async def next_number(self, name: ModelName) -> int | None:
        """Takes the next version number."""
        model = self._model_named(name)
        if model is None:
            return None
        self.last_number[model.id] += 1
        return self.last_number[model.id]

    async def add_version(self, version: ModelVersion) -> None:
        """Adds a version with its tags."""
        model_id = self._id(version.model)
        self.version_by_key[model_id, version.number] = version
        for key, value in version.tags:
            self.tag_by_key[model_id, version.number, key] = value

    def _found(self, key: tuple[str, int]) -> ModelVersion:
        aliases = [alias for (owner, alias), number in self.alias_by_key.items() if (owner, number) == key]
        name = str(self.model_by_id[key[0]].name)
        return replace(self.version_by_key[key], model=name, tags=self._tags(*key), aliases=tuple(sorted(aliases)))

    async def version(self, full_name: str, number: int) -> ModelVersion | None:
        """One version."""
        key = (self._id(full_name), number)
        return self._found(key) if key in self.version_by_key else None

    async def versions(
        self, only: VersionFilter, *, after: tuple[str, int] | None = None, limit: int = 1000
    ) -> Sequence[ModelVersion]:
        """Versions by model, newest first."""
        found = [
            version
            for version in map(self._found, self.version_by_key)
            if only.model in {None, version.model} and only.run_id in {None, version.run_id}
        ]
        found.sort(key=_by_model)
        if after is not None:
            found = [version for version in found if _by_model(version) > (after[0], -after[1])]
        return found[:limit]

    async def save_version(self, version: ModelVersion) -> None:
        """Writes the fields that a user may change."""
        key = (self._id(version.model), version.number)
        self.version_by_key[key] = replace(
            self.version_by_key[key],
            description=version.description,
            updated_at=version.updated_at,
            updated_by=version.updated_by,
        )

    async def end_version(self, full_name: str, number: int, outcome: Outcome) -> bool:
        """Ends a pending version."""
        key = (self._id(full_name), number)
        version = self.version_by_key.get(key)
        if version is None or version.status is not VersionStatus.PENDING_REGISTRATION:
            return False
        self.version_by_key[key] = replace(
            version,
            status=outcome.status,
            status_message=outcome.message,
            facts=outcome.facts,
            digest=outcome.digest,
            updated_at=outcome.at,
            updated_by=outcome.by,
        )
        return True

    async def remove_version(self, full_name: str, number: int) -> None:
        """Removes a version with its aliases and tags."""
        model_id = self._id(full_name)
        self.version_by_key.pop((model_id, number), None)
        self.alias_by_key = {
            key: value for key, value in self.alias_by_key.items() if (key[0], value) != (model_id, number)
        }
        self.tag_by_key = {key: value for key, value in self.tag_by_key.items() if key[:2] != (model_id, number)}

    async def set_alias(self, name: ModelName, alias: str, number: int) -> None:
        """Points the alias at a version."""
        self.alias_by_key[self._id(name), alias] = number

    async def remove_alias(self, name: ModelName, alias: str) -> None:
        """Removes an alias."""
        self.alias_by_key.pop((self._id(name), alias), None)

    async def set_tag(self, name: ModelName, number: int | None, key: str, value: str) -> None:
        """Sets a tag of the version or the model."""
        self.tag_by_key[self._id(name), number, key] = value

    async def remove_tag(self, name: ModelName, number: int | None, key: str) -> None:
        """Removes a tag."""
        self.tag_by_key.pop((self._id(name), number, key), None)

    async def pending(self, created_before: int, *, limit: int = 100) -> Sequence[ModelVersion]:
        """Old pending versions, oldest first."""
        found = [
            version
            for version in map(self._found, self.version_by_key)
            if version.status is VersionStatus.PENDING_REGISTRATION and version.created_at < created_before
        ]
        return sorted(found, key=lambda version: version.created_at)[:limit]

    async def storages(self) -> frozenset[str]:
        """What the artifact store must keep."""
        kept = [v for v in self.version_by_key.values() if v.status is not VersionStatus.FAILED_REGISTRATION]
        return frozenset(version.storage for version in kept)


def _by_model(version: ModelVersion) -> tuple[str, int]:
    return (version.model, -version.number)


def _without(catalogs: dict[str, Catalog], catalog_id: str) -> dict[str, Catalog]:
    return {name: catalog for name, catalog in catalogs.items() if catalog.id != catalog_id}
