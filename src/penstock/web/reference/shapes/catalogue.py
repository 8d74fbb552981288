"""Answers about the catalogue, in Unity Catalog's dialect and in MLflow's."""

from typing import Literal

from msgspec import UNSET

from penstock.web.reference.shapes.shape import Maybe, Pair, Shape


class _Stamped(Shape):
    created_at: int
    created_by: str
    updated_at: int
    updated_by: str
    metastore_id: str


class _Namespace(_Stamped):
    name: str
    full_name: str
    catalog_type: str
    owner: str
    comment: str
    properties: dict[str, str]


class CatalogInfo(_Namespace):
    """A catalog."""

    id: str
    securable_type: str


class SchemaInfo(_Namespace):
    """A schema."""

    catalog_name: str
    schema_id: str


class CatalogInfos(Shape):
    """A page of catalogs."""

    catalogs: list[CatalogInfo]
    next_page_token: str


class SchemaInfos(Shape):
    """A page of schemas."""

    schemas: list[SchemaInfo]
    next_page_token: str


class AliasInfo(Shape):
    """An alias; `model_name` is the last level of the name."""

    alias_name: str
    version_num: int
    model_name: str


class ModelInfo(_Stamped):
    """A registered model."""

    name: str
    catalog_name: str
    schema_name: str
    full_name: str
    id: str
    owner: str
    comment: str
    tags: list[Pair]
    aliases: Maybe[list[AliasInfo]] = UNSET


class ModelInfos(Shape):
    """A page of registered models."""

    registered_models: list[ModelInfo]
    next_page_token: str


class ModelAdapterFacts(Shape):
    """What the files of a LoRA adapter say; `base` is what they call the model it was made for."""

    base: str
    rank: int


class ModelFileFacts(Shape):
    """What was read from a version's files; `problem` says why it cannot be served."""

    task: str | None
    model_type: str | None
    architecture: str | None
    parameters: int | None
    weight_bytes: int | None
    context_length: int | None
    has_tokenizer: bool
    has_chat_template: bool
    servable: bool
    problem: str | None
    adapter: ModelAdapterFacts | None


class VersionInfo(_Stamped):
    """A version of a registered model."""

    model_name: str
    catalog_name: str
    schema_name: str
    version: int
    id: str
    source: str
    run_id: str
    status: str
    storage_location: str
    comment: str
    tags: list[Pair]
    model_facts: Maybe[ModelFileFacts] = UNSET
    model_id: Maybe[str] = UNSET
    run_workspace_id: Maybe[int] = UNSET
    aliases: Maybe[list[AliasInfo]] = UNSET


class VersionInfos(Shape):
    """A page of versions."""

    model_versions: list[VersionInfo]
    next_page_token: str


class Credentials(Shape):
    """What selects uploads and downloads through this server."""

    expiration_time: int
    storage_mode: str


class PrivilegeAssignment(Shape):
    """What one was granted."""

    principal: str
    privileges: list[str]


class PrivilegeAssignments(Shape):
    """What was granted; absent if it was not to be told."""

    privilege_assignments: Maybe[list[PrivilegeAssignment]] = UNSET


class EffectivePrivilege(Shape):
    """A privilege, and where it was granted if that was above."""

    privilege: str
    inherited_from_type: Maybe[str] = UNSET
    inherited_from_name: Maybe[str] = UNSET


class EffectiveAssignment(Shape):
    """What counts for one."""

    principal: str
    privileges: list[EffectivePrivilege]


class EffectiveAssignments(Shape):
    """What counts."""

    privilege_assignments: list[EffectiveAssignment]


class EffectivePrivilegeAssignments(Shape):
    """The same by its newer name."""

    effective_privilege_assignments: list[EffectiveAssignment]


class MlflowAlias(Shape):
    """An alias; versions are texts in this dialect."""

    alias: str
    version: str


class MlflowModel(Shape):
    """A registered model in MLflow's dialect."""

    name: str
    creation_timestamp: int
    last_updated_timestamp: int
    user_id: str
    description: str
    aliases: list[MlflowAlias]
    tags: list[Pair]


class MlflowModelAnswer(Shape):
    """One registered model."""

    registered_model: MlflowModel


class MlflowModels(Shape):
    """A page of registered models."""

    registered_models: list[MlflowModel]
    next_page_token: str


class MlflowVersion(Shape):
    """A version in MLflow's dialect."""

    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    user_id: str
    description: str
    source: str
    run_id: str
    status: Literal["PENDING_REGISTRATION", "FAILED_REGISTRATION", "READY"]
    status_message: str
    storage_location: str
    aliases: list[MlflowAlias]
    tags: list[Pair]
    run_tracking_server_id: Maybe[str] = UNSET
    model_id: Maybe[str] = UNSET


class MlflowVersionAnswer(Shape):
    """One version."""

    model_version: MlflowVersion


class MlflowVersions(Shape):
    """A page of versions."""

    model_versions: list[MlflowVersion]
    next_page_token: str


class ArtifactUri(Shape):
    """Where a version's files are."""

    artifact_uri: str


class MlflowCredentials(Shape):
    """What selects uploads and downloads through this server."""

    credentials: Credentials


class ArtifactRepository(Shape):
    """What clients are told to upload with."""

    is_databricks_sdk_models_artifact_repository_enabled: bool
