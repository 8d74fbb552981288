"""Registered models, their aliases and tags in MLflow's dialect: /api/2.0/mlflow/unity-catalog/registered-models/*."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from penstock.control.grants import CatalogGrants
from penstock.control.models import ModelChange, Models
from penstock.domain.catalog import check_number
from penstock.domain.errors import InvalidParameter
from penstock.domain.grant import Privilege
from penstock.domain.names import ModelName
from penstock.web.databricks.catalog_objects import (
    JOB,
    Body,
    OneTag,
    TagBody,
    Text,
    mlflow_model,
    mlflow_version,
    tags_of,
)
from penstock.web.databricks.paging import after_text, page, page_size
from penstock.web.guard import Access, CallerDep, allows, guarded_router

BASE = "/api/2.0/mlflow/unity-catalog"
MODELS = f"{BASE}/registered-models"
MAX_RESULTS = 1000
_USER = allows(Access.USER)


class CreateModel(Body):
    """Body of create."""

    name: str
    description: Text = ""
    tags: list[TagBody] | None = None


class UpdateModel(Body):
    """Body of update."""

    name: str
    new_name: str | None = None
    description: str | None = None


class NamedModel(Body):
    """Body of delete."""

    name: str


class SetAlias(Body):
    """Body of setting an alias."""

    name: str
    alias: str
    version: str | int


class DeleteAlias(Body):
    """Body of deleting an alias."""

    name: str
    alias: str


def router(models: Models, grants: CatalogGrants, *, sdk_repository: bool) -> APIRouter:
    """All of them. `sdk_repository` is what clients are told to upload with: the Files API, or signed addresses."""
    routes = guarded_router()
    _add_models(routes, models, grants)
    _add_aliases(routes, models, grants)
    _add_tags(routes, models, grants)

    @routes.get(f"{MODELS}:is-databricks-sdk-models-artifact-repository-enabled", openapi_extra=_USER)
    async def enabled() -> dict[str, bool]:
        return {"is_databricks_sdk_models_artifact_repository_enabled": sdk_repository}

    return routes


def _add_models(routes: APIRouter, models: Models, grants: CatalogGrants) -> None:
    @routes.post(f"{MODELS}/create", openapi_extra=_USER)
    async def create(body: CreateModel, caller: CallerDep) -> dict[str, Any]:
        body.refuse(deployment_job_id=JOB)
        name = ModelName.parse(body.name)
        await grants.check_create(caller, name)
        made = await models.create(caller, name, body.description, tags_of(body.tags))
        return {"registered_model": mlflow_model(made)}

    @routes.get(f"{MODELS}/get", openapi_extra=_USER)
    async def get(name: str, caller: CallerDep) -> dict[str, Any]:
        return {
            "registered_model": mlflow_model(
                await models.get(await grants.check(caller, ModelName.parse(name), Privilege.EXECUTE))
            )
        }

    @routes.get(f"{MODELS}/search", openapi_extra=_USER)
    async def search(
        caller: CallerDep,
        max_results: int | None = None,
        page_token: str | None = None,
        only: Annotated[str, Query(alias="filter")] = "",
        order_by: str = "",
    ) -> dict[str, Any]:
        if only or order_by:
            raise InvalidParameter("filter and order_by must be empty: models are listed by name.")
        size, after = page_size(max_results, MAX_RESULTS), after_text(page_token)
        found = await models.list(after=ModelName.parse(after, "page_token") if after else None, limit=size + 1)
        shown, token = page(found, size, lambda model: str(model.name))
        shown = await grants.visible(caller, shown, lambda model: model.name)
        return {"registered_models": [mlflow_model(model) for model in shown], "next_page_token": token}

    @routes.patch(f"{MODELS}/update", openapi_extra=_USER)
    async def update(body: UpdateModel, caller: CallerDep) -> dict[str, Any]:
        body.refuse(deployment_job_id=JOB)
        new_name = ModelName.parse(body.new_name, "new_name") if body.new_name else None
        change = ModelChange(name=new_name, description=body.description)
        name = await grants.check(caller, ModelName.parse(body.name), Privilege.MODIFY)
        if new_name is not None:
            await grants.check_create(caller, new_name)
        return {"registered_model": mlflow_model(await models.change(caller, name, change))}

    @routes.delete(f"{MODELS}/delete", openapi_extra=_USER)
    async def delete(body: NamedModel, caller: CallerDep) -> dict[str, Any]:
        await models.remove(caller, ModelName.parse(body.name))
        return {}


def _add_aliases(routes: APIRouter, models: Models, grants: CatalogGrants) -> None:
    @routes.post(f"{MODELS}/alias", openapi_extra=_USER)
    async def set_alias(body: SetAlias, caller: CallerDep) -> dict[str, Any]:
        await models.set_alias(
            await grants.check(caller, ModelName.parse(body.name), Privilege.MODIFY),
            body.alias,
            check_number(body.version),
        )
        return {}

    @routes.get(f"{MODELS}/alias", openapi_extra=_USER)
    async def by_alias(name: str, alias: str, caller: CallerDep) -> dict[str, Any]:
        return {
            "model_version": mlflow_version(
                await models.by_alias(await grants.check(caller, ModelName.parse(name), Privilege.EXECUTE), alias)
            )
        }

    @routes.delete(f"{MODELS}/alias", openapi_extra=_USER)
    async def delete_alias(body: DeleteAlias, caller: CallerDep) -> dict[str, Any]:
        await models.remove_alias(await grants.check(caller, ModelName.parse(body.name), Privilege.MODIFY), body.alias)
        return {}


def _add_tags(routes: APIRouter, models: Models, grants: CatalogGrants) -> None:
    @routes.post(f"{MODELS}/set-tag", openapi_extra=_USER)
    async def set_tag(body: OneTag, caller: CallerDep) -> dict[str, Any]:
        await models.change_tags(
            await grants.check(caller, ModelName.parse(body.name), Privilege.APPLY_TAG),
            None,
            ((body.key, body.value),),
            (),
        )
        return {}

    @routes.delete(f"{MODELS}/delete-tag", openapi_extra=_USER)
    async def delete_tag(body: OneTag, caller: CallerDep) -> dict[str, Any]:
        await models.change_tags(
            await grants.check(caller, ModelName.parse(body.name), Privilege.APPLY_TAG), None, (), (body.key,)
        )
        return {}
