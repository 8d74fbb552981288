"""Registered models, aliases and tags in Unity Catalog's dialect: /api/2.1/unity-catalog/models/*."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from penstock.control.grants import CatalogGrants
from penstock.control.models import ModelChange, Models
from penstock.domain.catalog import check_number, check_text
from penstock.domain.errors import InvalidParameter
from penstock.domain.grant import Privilege
from penstock.domain.names import ModelName, check_level
from penstock.web.databricks.catalog_objects import (
    JOB,
    Body,
    TagBody,
    TagChange,
    Text,
    alias_info,
    model_info,
    tags_of,
    version_info,
)
from penstock.web.databricks.paging import after_text, page, page_size
from penstock.web.databricks.uc_namespaces import BASE, STORED_HERE
from penstock.web.guard import Access, CallerDep, allows, guarded_router

MODELS = f"{BASE}/models"
MAX_RESULTS = 1000
MODEL_SECURABLE = "FUNCTION"
_USER = allows(Access.USER)


class CreateModel(Body):
    """Body of creating a model."""

    name: str
    catalog_name: str
    schema_name: str
    comment: Text = ""
    tags: list[TagBody] | None = None


class ChangeModel(Body):
    """Body of changing a model."""

    new_name: str | None = None
    comment: str | None = None
    owner: str | None = None


class PointAlias(BaseModel):
    """Body of setting an alias."""

    version_num: int


def router(models: Models, grants: CatalogGrants) -> APIRouter:
    """All of them."""
    routes = guarded_router()
    _add_models(routes, models, grants)
    _add_aliases(routes, models, grants)
    _add_tags(routes, models, grants)
    return routes


def _add_models(routes: APIRouter, models: Models, grants: CatalogGrants) -> None:
    @routes.post(MODELS, openapi_extra=_USER)
    async def create(body: CreateModel, caller: CallerDep) -> dict[str, Any]:
        body.refuse(storage_location=STORED_HERE, deployment_job_id=JOB)
        name = ModelName.of(body.catalog_name, body.schema_name, body.name)
        await grants.check_create(caller, name)
        return model_info(await models.create(caller, name, body.comment, tags_of(body.tags)))

    @routes.get(MODELS, openapi_extra=_USER)
    async def list_all(
        caller: CallerDep,
        catalog_name: str = "",
        schema_name: str = "",
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> dict[str, Any]:
        if schema_name and not catalog_name:
            raise InvalidParameter("catalog_name must be given when schema_name is.")
        size, after = page_size(max_results, MAX_RESULTS), after_text(page_token)
        found = await models.list(
            catalog=check_level(catalog_name, "catalog_name") if catalog_name else None,
            schema=check_level(schema_name, "schema_name") if schema_name else None,
            after=ModelName.parse(after, "page_token") if after else None,
            limit=size + 1,
        )
        shown, token = page(found, size, lambda model: str(model.name))
        shown = await grants.visible(caller, shown, lambda model: model.name)
        return {"registered_models": [model_info(model) for model in shown], "next_page_token": token}

    @routes.get(f"{MODELS}/{{full_name}}", openapi_extra=_USER)
    async def get(full_name: str, caller: CallerDep, *, include_aliases: bool = True) -> dict[str, Any]:
        name = await grants.check(caller, ModelName.parse(full_name, "full_name"), Privilege.EXECUTE)
        return model_info(await models.get(name), aliases=include_aliases)

    @routes.patch(f"{MODELS}/{{full_name}}", openapi_extra=_USER)
    async def change(full_name: str, body: ChangeModel, caller: CallerDep) -> dict[str, Any]:
        body.refuse(deployment_job_id=JOB)
        name = await grants.check(caller, ModelName.parse(full_name, "full_name"), Privilege.MODIFY)
        owner = check_text(body.owner or "", "owner") or None
        new_name = _new_name(name, body.new_name)
        if new_name is not None:
            await grants.check_create(caller, new_name)
        wanted = ModelChange(new_name, body.comment, owner)
        return model_info(await models.change(caller, name, wanted))

    @routes.delete(f"{MODELS}/{{full_name}}", openapi_extra=_USER)
    async def remove(full_name: str, caller: CallerDep) -> dict[str, Any]:
        await models.remove(caller, ModelName.parse(full_name, "full_name"))
        return {}


def _new_name(name: ModelName, given: str | None) -> ModelName | None:
    """A full name, or a last level that keeps the others."""
    if not given:
        return None
    return ModelName.parse(given, "new_name") if "." in given else ModelName.of(name.catalog, name.schema, given)


def _add_aliases(routes: APIRouter, models: Models, grants: CatalogGrants) -> None:
    aliases = f"{MODELS}/{{full_name}}/aliases/{{alias}}"

    @routes.put(aliases, openapi_extra=_USER)
    async def point(full_name: str, alias: str, body: PointAlias, caller: CallerDep) -> dict[str, Any]:
        name, number = (
            await grants.check(caller, ModelName.parse(full_name, "full_name"), Privilege.MODIFY),
            check_number(body.version_num, "version_num"),
        )
        return alias_info(name.model, await models.set_alias(name, alias, number), number)

    @routes.get(aliases, openapi_extra=_USER)
    async def by_alias(
        full_name: str, alias: str, caller: CallerDep, *, include_aliases: bool = True
    ) -> dict[str, Any]:
        found = await models.by_alias(
            await grants.check(caller, ModelName.parse(full_name, "full_name"), Privilege.EXECUTE), alias
        )
        return version_info(found, aliases=include_aliases)

    @routes.delete(aliases, openapi_extra=_USER)
    async def remove(full_name: str, alias: str, caller: CallerDep) -> dict[str, Any]:
        await models.remove_alias(
            await grants.check(caller, ModelName.parse(full_name, "full_name"), Privilege.MODIFY), alias
        )
        return {}


def _add_tags(routes: APIRouter, models: Models, grants: CatalogGrants) -> None:
    @routes.patch(f"{BASE}/securable-tags/{{securable_type}}/{{full_name}}", openapi_extra=_USER)
    async def of_model(securable_type: str, full_name: str, body: TagChange, caller: CallerDep) -> dict[str, Any]:
        _check_type(securable_type)
        name = await grants.check(caller, ModelName.parse(full_name, "full_name"), Privilege.APPLY_TAG)
        await models.change_tags(name, None, tags_of(body.changes.add_tags), body.changes.remove)
        return {}

    @routes.patch(f"{BASE}/subentity-tags/{{securable_type}}/{{full_name}}/{{number}}", openapi_extra=_USER)
    async def of_version(
        securable_type: str, full_name: str, number: str, body: TagChange, caller: CallerDep
    ) -> dict[str, Any]:
        _check_type(securable_type)
        name = await grants.check(caller, ModelName.parse(full_name, "full_name"), Privilege.APPLY_TAG)
        await models.change_tags(name, check_number(number), tags_of(body.changes.add_tags), body.changes.remove)
        return {}


def _check_type(securable_type: str) -> None:
    if securable_type.upper() != MODEL_SECURABLE:
        raise InvalidParameter(
            f"The securable type must be {MODEL_SECURABLE}, as of models, but is {securable_type[:80]!r}."
        )
