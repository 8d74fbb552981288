"""Catalogs and schemas: /api/2.1/unity-catalog/{catalogs,schemas}."""

from typing import Any

from fastapi import APIRouter

from penstock.control.grants import CatalogGrants
from penstock.control.namespaces import NamespaceChange, Namespaces
from penstock.domain.catalog import Tags, check_tag, check_text
from penstock.domain.names import SchemaName, check_level
from penstock.web.databricks.catalog_objects import Body, Text, catalog_info, schema_info
from penstock.web.databricks.paging import after_text, page, page_size
from penstock.web.guard import Access, CallerDep, allows, guarded_router

BASE = "/api/2.1/unity-catalog"
MAX_RESULTS = 1000
STORED_HERE = "Penstock keeps the files of models itself; leave it out."
MANAGED = "only catalogs that Penstock holds itself can be made; leave it out."
_USER = allows(Access.USER)


class NewNamespace(Body):
    """Body of creating a catalog, and what both kinds share."""

    name: str
    comment: Text = ""
    properties: dict[str, str] | None = None


class NewSchema(NewNamespace):
    """Body of creating a schema."""

    catalog_name: str


class Change(Body):
    """Body of changing either."""

    comment: str | None = None
    owner: str | None = None
    properties: dict[str, str] | None = None


def router(namespaces: Namespaces, grants: CatalogGrants) -> APIRouter:
    """All of them."""
    routes = guarded_router()
    _add_catalogs(routes, namespaces, grants)
    _add_schemas(routes, namespaces, grants)
    return routes


def _properties(given: dict[str, str] | None) -> Tags:
    return tuple(sorted(check_tag(key, value) for key, value in (given or {}).items()))


def _change(body: Change) -> NamespaceChange:
    body.refuse(
        new_name="catalogs and schemas keep their names.",
        isolation_mode="grants say who may use a catalog.",
        storage_root=STORED_HERE,
    )
    properties = None if body.properties is None else _properties(body.properties)
    return NamespaceChange(body.comment, check_text(body.owner or "", "owner") or None, properties)


def _add_catalogs(routes: APIRouter, namespaces: Namespaces, grants: CatalogGrants) -> None:
    @routes.post(f"{BASE}/catalogs", openapi_extra=_USER)
    async def create(body: NewNamespace, caller: CallerDep) -> dict[str, Any]:
        body.refuse(storage_root=STORED_HERE, provider_name=MANAGED, share_name=MANAGED, connection_name=MANAGED)
        name = check_level(body.name, "name")
        return catalog_info(await namespaces.create_catalog(caller, name, body.comment, _properties(body.properties)))

    @routes.get(f"{BASE}/catalogs", openapi_extra=_USER)
    async def list_all(
        caller: CallerDep, max_results: int | None = None, page_token: str | None = None
    ) -> dict[str, Any]:
        size = page_size(max_results, MAX_RESULTS)
        found = await namespaces.catalogs(after_text(page_token), size + 1)
        shown, token = page(found, size, lambda catalog: catalog.name)
        shown = await grants.visible(caller, shown, lambda catalog: catalog.name)
        return {"catalogs": [catalog_info(catalog) for catalog in shown], "next_page_token": token}

    @routes.get(f"{BASE}/catalogs/{{name}}", openapi_extra=_USER)
    async def get(name: str, caller: CallerDep) -> dict[str, Any]:
        await grants.check_use(caller, check_level(name, "name"))
        return catalog_info(await namespaces.catalog(check_level(name, "name")))

    @routes.patch(f"{BASE}/catalogs/{{name}}", openapi_extra=_USER)
    async def change(name: str, body: Change, caller: CallerDep) -> dict[str, Any]:
        return catalog_info(await namespaces.change_catalog(caller, check_level(name, "name"), _change(body)))

    @routes.delete(f"{BASE}/catalogs/{{name}}", openapi_extra=_USER)
    async def remove(name: str, caller: CallerDep, *, force: bool = False) -> dict[str, Any]:
        await namespaces.remove_catalog(caller, check_level(name, "name"), force=force)
        return {}


def _add_schemas(routes: APIRouter, namespaces: Namespaces, grants: CatalogGrants) -> None:
    @routes.post(f"{BASE}/schemas", openapi_extra=_USER)
    async def create(body: NewSchema, caller: CallerDep) -> dict[str, Any]:
        body.refuse(storage_root=STORED_HERE)
        name = SchemaName.of(body.catalog_name, body.name)
        await grants.check_create(caller, name)
        return schema_info(await namespaces.create_schema(caller, name, body.comment, _properties(body.properties)))

    @routes.get(f"{BASE}/schemas", openapi_extra=_USER)
    async def list_all(
        catalog_name: str, caller: CallerDep, max_results: int | None = None, page_token: str | None = None
    ) -> dict[str, Any]:
        size = page_size(max_results, MAX_RESULTS)
        catalog = check_level(catalog_name, "catalog_name")
        await grants.check_use(caller, catalog)
        found = await namespaces.schemas(catalog, after_text(page_token), size + 1)
        shown, token = page(found, size, lambda schema: schema.name.schema)
        shown = await grants.visible(caller, shown, lambda schema: schema.name)
        return {"schemas": [schema_info(schema) for schema in shown], "next_page_token": token}

    @routes.get(f"{BASE}/schemas/{{full_name}}", openapi_extra=_USER)
    async def get(full_name: str, caller: CallerDep) -> dict[str, Any]:
        name = SchemaName.parse(full_name)
        await grants.check_use(caller, name)
        return schema_info(await namespaces.schema(name))

    @routes.patch(f"{BASE}/schemas/{{full_name}}", openapi_extra=_USER)
    async def change(full_name: str, body: Change, caller: CallerDep) -> dict[str, Any]:
        return schema_info(await namespaces.change_schema(caller, SchemaName.parse(full_name), _change(body)))

    @routes.delete(f"{BASE}/schemas/{{full_name}}", openapi_extra=_USER)
    async def remove(full_name: str, caller: CallerDep, *, force: bool = False) -> dict[str, Any]:
        await namespaces.remove_schema(caller, SchemaName.parse(full_name), force=force)
        return {}
