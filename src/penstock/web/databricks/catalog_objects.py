"""The objects of the catalogue as clients read them: MLflow's dialect (2.0) and Unity Catalog's own (2.1)."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from penstock.domain.artifact_path import root_of
from penstock.domain.catalog import Catalog, ModelVersion, RegisteredModel, Schema, Tags
from penstock.domain.errors import InvalidParameter
from penstock.domain.model import ModelFacts

METASTORE_ID = "00000000-0000-0000-0000-000000000000"


def _no_null(value: Any) -> Any:
    return "" if value is None else value


Text = Annotated[str, BeforeValidator(_no_null)]
"""A string; null is an empty one."""


class Body(BaseModel):
    """A body: fields that nobody knows are passed over, those that cannot be done here are refused by name."""

    model_config = ConfigDict(extra="allow")

    def refuse(self, **reasons: str) -> None:
        """Raises InvalidParameter for the first of these fields that has a value, with its reason."""
        for field, reason in reasons.items():
            if (self.model_extra or {}).get(field):
                raise InvalidParameter(f"{field}: {reason}")


class TagBody(BaseModel):
    """A tag."""

    key: str
    value: Text = ""


def tags_of(tags: list[TagBody] | None) -> Tags:
    """The tags of a body."""
    return tuple((tag.key, tag.value) for tag in tags or ())


class OneTag(Body):
    """Body of set-tag and delete-tag."""

    name: str
    key: str
    value: Text = ""


class TagChanges(BaseModel):
    """What a change of tags holds."""

    add_tags: list[TagBody] = Field(default_factory=list)
    remove: list[str] = Field(default_factory=list)


class TagChange(Body):
    """Body of a change of tags."""

    changes: TagChanges


JOB = "deployment jobs are not supported."


def location_of(version: ModelVersion) -> str:
    """What clients are told as the version's storage; its files are read and written through this server."""
    return f"penstock:{root_of(version.name, version.number)}"


def credentials(expires_at: int) -> dict[str, Any]:
    """What selects uploads and downloads through this server's signed addresses."""
    return {"expiration_time": expires_at, "storage_mode": "DEFAULT_STORAGE"}


def mlflow_model(model: RegisteredModel) -> dict[str, Any]:
    """A registered model in MLflow's dialect."""
    return {
        "name": str(model.name),
        "creation_timestamp": model.created_at,
        "last_updated_timestamp": model.updated_at,
        "user_id": model.creator,
        "description": model.description,
        "aliases": [{"alias": alias, "version": str(number)} for alias, number in model.aliases],
        "tags": _pairs(model.tags),
    }


def mlflow_version(version: ModelVersion) -> dict[str, Any]:
    """A version in MLflow's dialect; `version` is a string there."""
    told = {
        "name": version.model,
        "version": str(version.number),
        "creation_timestamp": version.created_at,
        "last_updated_timestamp": version.updated_at,
        "user_id": version.creator,
        "description": version.description,
        "source": version.source,
        "run_id": version.run_id,
        "run_tracking_server_id": version.lineage.run_tracking_server_id,
        "model_id": version.lineage.model_id,
        "status": version.status.value,
        "status_message": version.status_message,
        "storage_location": location_of(version),
        "aliases": [{"alias": alias, "version": str(version.number)} for alias in version.aliases],
        "tags": _pairs(version.tags),
    }
    optional = ("run_tracking_server_id", "model_id")
    return {key: value for key, value in told.items() if value or key not in optional}


def model_info(model: RegisteredModel, *, aliases: bool = True) -> dict[str, Any]:
    """A registered model in Unity Catalog's dialect."""
    told: dict[str, Any] = {
        "name": model.name.model,
        "catalog_name": model.name.catalog,
        "schema_name": model.name.schema,
        "full_name": str(model.name),
        "id": model.id,
        "metastore_id": METASTORE_ID,
        "owner": model.owner,
        "comment": model.description,
        "tags": _pairs(model.tags),
        **_stamps(model),
    }
    if aliases:
        told["aliases"] = [alias_info(model.name.model, alias, number) for alias, number in model.aliases]
    return told


def version_info(version: ModelVersion, *, aliases: bool = True) -> dict[str, Any]:
    """A version in Unity Catalog's dialect; `version` is a number there."""
    name = version.name
    told: dict[str, Any] = {
        "model_name": name.model,
        "catalog_name": name.catalog,
        "schema_name": name.schema,
        "version": version.number,
        "id": version.storage,
        "metastore_id": METASTORE_ID,
        "source": version.source,
        "run_id": version.run_id,
        "status": version.status.value,
        "storage_location": location_of(version),
        "comment": version.description,
        "tags": _pairs(version.tags),
        **_stamps(version),
    }
    if version.facts is not None:
        told["model_facts"] = _facts(version.facts)
    if version.lineage.model_id:
        told["model_id"] = version.lineage.model_id
    if version.lineage.run_tracking_server_id.isdigit():
        told["run_workspace_id"] = int(version.lineage.run_tracking_server_id)
    if aliases:
        told["aliases"] = [alias_info(name.model, alias, version.number) for alias in version.aliases]
    return told


def _facts(facts: ModelFacts) -> dict[str, Any]:
    """What was read from the version's files; ours, clients ignore it. `problem` says why it cannot be served."""
    return {
        "task": facts.task,
        "model_type": facts.model_type,
        "architecture": facts.architecture,
        "parameters": facts.parameters,
        "weight_bytes": facts.weight_bytes,
        "context_length": facts.context_length,
        "has_tokenizer": facts.has_tokenizer,
        "has_chat_template": facts.has_chat_template,
        "servable": facts.servable,
        "problem": facts.problem,
        "adapter": {"base": facts.adapter.base, "rank": facts.adapter.rank} if facts.adapter else None,
    }


def alias_info(model: str, alias: str, number: int) -> dict[str, Any]:
    """An alias in Unity Catalog's dialect; `model` is the last level of the name."""
    return {"alias_name": alias, "version_num": number, "model_name": model}


def catalog_info(catalog: Catalog) -> dict[str, Any]:
    """A catalog."""
    return {
        "name": catalog.name,
        "full_name": catalog.name,
        "id": catalog.id,
        "metastore_id": METASTORE_ID,
        "catalog_type": "MANAGED_CATALOG",
        "securable_type": "CATALOG",
        "owner": catalog.owner,
        "comment": catalog.comment,
        "properties": dict(catalog.properties),
        **_stamps(catalog),
    }


def schema_info(schema: Schema) -> dict[str, Any]:
    """A schema."""
    return {
        "name": schema.name.schema,
        "catalog_name": schema.name.catalog,
        "full_name": str(schema.name),
        "schema_id": schema.id,
        "metastore_id": METASTORE_ID,
        "catalog_type": "MANAGED_CATALOG",
        "owner": schema.owner,
        "comment": schema.comment,
        "properties": dict(schema.properties),
        **_stamps(schema),
    }


def _stamps(thing: Catalog | Schema | RegisteredModel | ModelVersion) -> dict[str, Any]:
    return {
        "created_at": thing.created_at,
        "created_by": thing.creator,
        "updated_at": thing.updated_at,
        "updated_by": thing.updated_by,
    }


def _pairs(tags: Tags) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags]
