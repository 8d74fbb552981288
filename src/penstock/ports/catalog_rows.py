"""The catalogue, as stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.domain.catalog import Catalog, ModelVersion, RegisteredModel, Schema, VersionStatus
from penstock.domain.model import ModelFacts
from penstock.domain.names import ModelName, SchemaName
from penstock.domain.version_filter import VersionFilter


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a pending version ends."""

    status: VersionStatus
    message: str
    facts: ModelFacts | None
    digest: str
    at: int
    by: str


class CatalogRows(Protocol):
    """Rows of catalogs, schemas, models, versions, aliases and tags. Names are given folded.

    Lists are sorted by name (versions by model, newest first) and start behind `after`; at most `limit` come.
    `add_*` raises AlreadyExists when the name is taken. `save_*` writes all fields but tags and aliases.
    """

    async def add_catalog(self, catalog: Catalog) -> None:
        """Adds a catalog."""
        ...

    async def catalog(self, name: str) -> Catalog | None:
        """One catalog."""
        ...

    async def catalogs(self, *, after: str = "", limit: int = 1000) -> Sequence[Catalog]:
        """Catalogs."""
        ...

    async def save_catalog(self, catalog: Catalog) -> None:
        """Writes the catalog of that id."""
        ...

    async def remove_catalog(self, name: str) -> None:
        """Removes a catalog; it must be empty."""
        ...

    async def add_schema(self, schema: Schema) -> None:
        """Adds a schema."""
        ...

    async def schema(self, name: SchemaName) -> Schema | None:
        """One schema."""
        ...

    async def schemas(self, catalog: str, *, after: str = "", limit: int = 1000) -> Sequence[Schema]:
        """A catalog's schemas; `after` is a schema's last level."""
        ...

    async def save_schema(self, schema: Schema) -> None:
        """Writes the schema of that id."""
        ...

    async def remove_schema(self, name: SchemaName) -> None:
        """Removes a schema; it must be empty."""
        ...

    async def add_model(self, model: RegisteredModel) -> None:
        """Adds a registered model with its tags; its aliases must be empty."""
        ...

    async def model(self, name: ModelName) -> RegisteredModel | None:
        """One registered model."""
        ...

    async def models(
        self,
        *,
        catalog: str | None = None,
        schema: str | None = None,
        after: ModelName | None = None,
        limit: int = 1000,
    ) -> Sequence[RegisteredModel]:
        """Registered models, of one catalog or schema or all."""
        ...

    async def save_model(self, model: RegisteredModel) -> None:
        """Writes the model of that id, its name included; raises AlreadyExists if the new name is taken."""
        ...

    async def remove_model(self, name: ModelName) -> None:
        """Removes a model with its versions, aliases and tags."""
        ...

    async def next_number(self, name: ModelName) -> int | None:
        """Takes the next version number; None if there is no such model.

        The number counts once the unit commits and is free again if it rolls back; units that take numbers of the same
        model wait for each other. Numbers of deleted versions are not given again.
        """
        ...

    async def add_version(self, version: ModelVersion) -> None:
        """Adds a version with its tags; its number must come from `next_number` of the same unit."""
        ...

    async def version(self, full_name: str, number: int) -> ModelVersion | None:
        """One version. `full_name` is folded, three levels."""
        ...

    async def versions(
        self, only: VersionFilter, *, after: tuple[str, int] | None = None, limit: int = 1000
    ) -> Sequence[ModelVersion]:
        """Versions by model, newest first; `after` is the last one's (full name, number)."""
        ...

    async def save_version(self, version: ModelVersion) -> None:
        """Writes description, `updated_at` and `updated_by`."""
        ...

    async def end_version(self, full_name: str, number: int, outcome: Outcome) -> bool:
        """Ends a pending version. False if it was not pending (any more): nothing is changed then."""
        ...

    async def remove_version(self, full_name: str, number: int) -> None:
        """Removes a version with its aliases and tags."""
        ...

    async def set_alias(self, name: ModelName, alias: str, number: int) -> None:
        """Points the alias at a version that exists, wherever it pointed before."""
        ...

    async def remove_alias(self, name: ModelName, alias: str) -> None:
        """Removes an alias. Safe to repeat."""
        ...

    async def set_tag(self, name: ModelName, number: int | None, key: str, value: str) -> None:
        """Sets a tag of the version, or of the model where `number` is None."""
        ...

    async def remove_tag(self, name: ModelName, number: int | None, key: str) -> None:
        """Removes a tag. Safe to repeat."""
        ...

    async def pending(self, created_before: int, *, limit: int = 100) -> Sequence[ModelVersion]:
        """Pending versions made before that time (epoch milliseconds), oldest first."""
        ...

    async def storages(self) -> frozenset[str]:
        """The storage of every version whose registration has not failed: what the artifact store must keep."""
        ...
