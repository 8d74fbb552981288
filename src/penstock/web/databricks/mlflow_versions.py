"""Model versions in MLflow's dialect: /api/2.0/mlflow/unity-catalog/model-versions/*."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from penstock.control.grants import CatalogGrants
from penstock.control.models import Models
from penstock.control.versions import NewVersion, Versions
from penstock.domain import version_filter
from penstock.domain.catalog import Lineage, check_number, check_readable, check_writable
from penstock.domain.errors import InvalidParameter
from penstock.domain.grant import Privilege
from penstock.domain.names import ModelName
from penstock.ports.clock import Clock
from penstock.web.databricks.catalog_objects import (
    Body,
    OneTag,
    TagBody,
    Text,
    credentials,
    location_of,
    mlflow_version,
    tags_of,
)
from penstock.web.databricks.mlflow_models import BASE
from penstock.web.databricks.paging import after_version, page, page_size
from penstock.web.guard import Access, CallerDep, allows, guarded_router

VERSIONS = f"{BASE}/model-versions"
MAX_RESULTS = 10_000
READ, READ_WRITE = "MODEL_VERSION_OPERATION_READ", "MODEL_VERSION_OPERATION_READ_WRITE"
CREDENTIALS_MS = 3_600_000
_USER = allows(Access.USER)


class Dependency(BaseModel):
    """What a version needs."""

    type: Text = ""
    name: Text = ""


class CreateVersion(Body):
    """Body of create."""

    name: str
    source: Text = ""
    run_id: Text = ""
    description: Text = ""
    run_tracking_server_id: Text = ""
    feature_deps: Text = ""
    model_id: Text = ""
    tags: list[TagBody] | None = None
    model_version_dependencies: list[Dependency] | None = None


class NamedVersion(Body):
    """Body of finalize and delete."""

    name: str
    version: str | int


class UpdateVersion(NamedVersion):
    """Body of update."""

    description: Text = ""


class VersionTag(OneTag):
    """Body of set-tag and delete-tag."""

    version: str | int


class AskCredentials(NamedVersion):
    """Body of generate-temporary-credentials."""

    operation: str = READ


def router(versions: Versions, models: Models, grants: CatalogGrants, clock: Clock) -> APIRouter:
    """All of them."""
    routes = guarded_router()
    _add_life(routes, versions, grants)
    _add_queries(routes, versions, grants)
    _add_storage(routes, versions, grants, clock)

    @routes.post(f"{VERSIONS}/set-tag", openapi_extra=_USER)
    async def set_tag(body: VersionTag, caller: CallerDep) -> dict[str, Any]:
        number = check_number(body.version)
        await models.change_tags(
            await grants.check(caller, ModelName.parse(body.name), Privilege.APPLY_TAG),
            number,
            ((body.key, body.value),),
            (),
        )
        return {}

    @routes.delete(f"{VERSIONS}/delete-tag", openapi_extra=_USER)
    async def delete_tag(body: VersionTag, caller: CallerDep) -> dict[str, Any]:
        await models.change_tags(
            await grants.check(caller, ModelName.parse(body.name), Privilege.APPLY_TAG),
            check_number(body.version),
            (),
            (body.key,),
        )
        return {}

    return routes


def _add_life(routes: APIRouter, versions: Versions, grants: CatalogGrants) -> None:
    @routes.post(f"{VERSIONS}/create", openapi_extra=_USER)
    async def create(body: CreateVersion, caller: CallerDep) -> dict[str, Any]:
        needs = tuple((need.type, need.name) for need in body.model_version_dependencies or ())
        lineage = Lineage(body.run_tracking_server_id, body.model_id, body.feature_deps, needs)
        new = NewVersion(body.source, body.run_id, body.description, tags_of(body.tags), lineage)
        made = await versions.create(
            caller, await grants.check(caller, ModelName.parse(body.name), Privilege.MODIFY), new
        )
        return {"model_version": mlflow_version(made)}

    @routes.post(f"{VERSIONS}/finalize", openapi_extra=_USER)
    async def finalize(body: NamedVersion, caller: CallerDep) -> dict[str, Any]:
        name = await grants.check(caller, ModelName.parse(body.name), Privilege.MODIFY)
        number = check_number(body.version)
        return {"model_version": mlflow_version(await versions.finalize(name, number, caller.principal.name))}

    @routes.patch(f"{VERSIONS}/update", openapi_extra=_USER)
    async def update(body: UpdateVersion, caller: CallerDep) -> dict[str, Any]:
        name = await grants.check(caller, ModelName.parse(body.name), Privilege.MODIFY)
        number = check_number(body.version)
        return {"model_version": mlflow_version(await versions.describe(caller, name, number, body.description))}

    @routes.delete(f"{VERSIONS}/delete", openapi_extra=_USER)
    async def delete(body: NamedVersion, caller: CallerDep) -> dict[str, Any]:
        await versions.remove(caller, ModelName.parse(body.name), check_number(body.version))
        return {}


def _add_queries(routes: APIRouter, versions: Versions, grants: CatalogGrants) -> None:
    @routes.get(f"{VERSIONS}/get", openapi_extra=_USER)
    async def get(name: str, version: str, caller: CallerDep) -> dict[str, Any]:
        found = await versions.get(
            await grants.check(caller, ModelName.parse(name), Privilege.EXECUTE), check_number(version)
        )
        return {"model_version": mlflow_version(found)}

    @routes.get(f"{VERSIONS}/search", openapi_extra=_USER)
    async def search(
        caller: CallerDep,
        only: Annotated[str, Query(alias="filter")] = "",
        max_results: int | None = None,
        page_token: str | None = None,
        order_by: str = "",
    ) -> dict[str, Any]:
        if order_by:
            raise InvalidParameter("order_by must be empty: versions are listed by model, newest first.")
        size = page_size(max_results, MAX_RESULTS)
        found = await versions.search(version_filter.parse(only), after_version(page_token), size + 1)
        shown, token = page(found, size, lambda version: [version.model, version.number])
        shown = await grants.visible(caller, shown, lambda version: version.name)
        return {"model_versions": [mlflow_version(version) for version in shown], "next_page_token": token}


def _add_storage(routes: APIRouter, versions: Versions, grants: CatalogGrants, clock: Clock) -> None:
    @routes.get(f"{VERSIONS}/get-download-uri", openapi_extra=_USER)
    async def download_uri(name: str, version: str, caller: CallerDep) -> dict[str, Any]:
        found = await versions.get(
            await grants.check(caller, ModelName.parse(name), Privilege.EXECUTE), check_number(version)
        )
        check_readable(found)
        return {"artifact_uri": location_of(found)}

    @routes.post(f"{VERSIONS}/generate-temporary-credentials", openapi_extra=_USER)
    async def ask(body: AskCredentials, caller: CallerDep) -> dict[str, Any]:
        if body.operation not in {READ, READ_WRITE}:
            raise InvalidParameter(f"operation must be {READ} or {READ_WRITE}, but is {body.operation[:80]!r}.")
        wanted = Privilege.MODIFY if body.operation == READ_WRITE else Privilege.EXECUTE
        name = await grants.check(caller, ModelName.parse(body.name), wanted)
        found = await versions.get(name, check_number(body.version))
        check = check_writable if body.operation == READ_WRITE else check_readable
        check(found)
        return {"credentials": credentials(clock.now_ms() + CREDENTIALS_MS)}

    @routes.post(f"{VERSIONS}/emit-lineage", openapi_extra=_USER)
    async def lineage(body: NamedVersion, caller: CallerDep) -> dict[str, Any]:
        # Sent with each download: who reads a version is in the log; that it exists is all there is to check.
        await versions.get(
            await grants.check(caller, ModelName.parse(body.name), Privilege.EXECUTE), check_number(body.version)
        )
        return {}
