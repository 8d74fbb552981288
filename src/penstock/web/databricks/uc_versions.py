"""Model versions in Unity Catalog's dialect: /api/2.1/unity-catalog/models/{full_name}/versions/*."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from penstock.control.grants import CatalogGrants
from penstock.control.versions import NewVersion, Versions
from penstock.domain.catalog import Lineage, check_number, check_readable, check_writable
from penstock.domain.errors import InvalidParameter
from penstock.domain.grant import Privilege
from penstock.domain.names import ModelName
from penstock.ports.clock import Clock
from penstock.web.databricks.catalog_objects import Body, TagBody, Text, credentials, tags_of, version_info
from penstock.web.databricks.mlflow_versions import CREDENTIALS_MS
from penstock.web.databricks.paging import after_version, page, page_size
from penstock.web.databricks.uc_models import MODELS
from penstock.web.databricks.uc_namespaces import BASE
from penstock.web.guard import Access, CallerDep, allows, guarded_router

MAX_RESULTS = 1000
READ, READ_WRITE = "READ_MODEL_VERSION", "READ_WRITE_MODEL_VERSION"
_USER = allows(Access.USER)


class Dependency(BaseModel):
    """What a version needs: one of the kinds, each with its name in a field of its own."""

    table: dict[str, str] | None = None
    function: dict[str, str] | None = None
    connection: dict[str, str] | None = None

    def pairs(self) -> list[tuple[str, str]]:
        """Kinds and names."""
        kinds = {"table": self.table, "function": self.function, "connection": self.connection}
        return [(kind, name) for kind, value in kinds.items() for name in (value or {}).values()]


class Dependencies(BaseModel):
    """A list of dependencies."""

    dependencies: list[Dependency] | None = None


class CreateVersion(Body):
    """Body of creating a version."""

    model_name: str
    catalog_name: str
    schema_name: str
    source: Text = ""
    run_id: Text = ""
    comment: Text = ""
    tags: list[TagBody] | None = None
    model_id: Text = ""
    feature_deps: Text = ""
    run_tracking_server_id: Text = ""
    model_version_dependencies: Dependencies | None = None


class ChangeVersion(Body):
    """Body of changing a version."""

    comment: Text = ""


class AskCredentials(Body):
    """Body of temporary-model-version-credentials."""

    catalog_name: str
    schema_name: str
    model_name: str
    version: int
    operation: str = READ


def router(versions: Versions, grants: CatalogGrants, clock: Clock) -> APIRouter:
    """All of them."""
    routes = guarded_router()
    _add_life(routes, versions, grants)
    _add_queries(routes, versions, grants)

    @routes.post(f"{BASE}/temporary-model-version-credentials", openapi_extra=_USER)
    async def ask(body: AskCredentials, caller: CallerDep) -> dict[str, Any]:
        if body.operation not in {READ, READ_WRITE}:
            raise InvalidParameter(f"operation must be {READ} or {READ_WRITE}, but is {body.operation[:80]!r}.")
        name = ModelName.of(body.catalog_name, body.schema_name, body.model_name)
        wanted = Privilege.MODIFY if body.operation == READ_WRITE else Privilege.EXECUTE
        found = await versions.get(await grants.check(caller, name, wanted), check_number(body.version))
        check = check_writable if body.operation == READ_WRITE else check_readable
        check(found)
        return credentials(clock.now_ms() + CREDENTIALS_MS)

    return routes


def _add_life(routes: APIRouter, versions: Versions, grants: CatalogGrants) -> None:
    one = f"{MODELS}/{{full_name}}/versions/{{number}}"

    @routes.post(f"{MODELS}/versions", openapi_extra=_USER)
    async def create(body: CreateVersion, caller: CallerDep) -> dict[str, Any]:
        name = await grants.check(
            caller, ModelName.of(body.catalog_name, body.schema_name, body.model_name), Privilege.MODIFY
        )
        listed = (body.model_version_dependencies or Dependencies()).dependencies or []
        needs = tuple(pair for need in listed for pair in need.pairs())
        lineage = Lineage(body.run_tracking_server_id, body.model_id, body.feature_deps, needs)
        new = NewVersion(body.source, body.run_id, body.comment, tags_of(body.tags), lineage)
        return version_info(await versions.create(caller, name, new))

    @routes.patch(f"{one}/finalize", openapi_extra=_USER)
    async def finalize(full_name: str, number: str, caller: CallerDep) -> dict[str, Any]:
        name = await grants.check(caller, ModelName.parse(full_name, "full_name"), Privilege.MODIFY)
        return version_info(await versions.finalize(name, check_number(number), caller.principal.name))

    @routes.patch(one, openapi_extra=_USER)
    async def change(full_name: str, number: str, body: ChangeVersion, caller: CallerDep) -> dict[str, Any]:
        name = await grants.check(caller, ModelName.parse(full_name, "full_name"), Privilege.MODIFY)
        return version_info(await versions.describe(caller, name, check_number(number), body.comment))

    @routes.delete(one, openapi_extra=_USER)
    async def remove(full_name: str, number: str, caller: CallerDep) -> dict[str, Any]:
        await versions.remove(caller, ModelName.parse(full_name, "full_name"), check_number(number))
        return {}


def _add_queries(routes: APIRouter, versions: Versions, grants: CatalogGrants) -> None:
    @routes.get(f"{MODELS}/{{full_name}}/versions", openapi_extra=_USER)
    async def list_all(
        full_name: str, caller: CallerDep, max_results: int | None = None, page_token: str | None = None
    ) -> dict[str, Any]:
        size = page_size(max_results, MAX_RESULTS)
        name = await grants.check(caller, ModelName.parse(full_name, "full_name"), Privilege.EXECUTE)
        found = await versions.of_model(name, after_version(page_token), size + 1)
        shown, token = page(found, size, lambda version: [version.model, version.number])
        return {"model_versions": [version_info(version) for version in shown], "next_page_token": token}

    @routes.get(f"{MODELS}/{{full_name}}/versions/{{number}}", openapi_extra=_USER)
    async def get(full_name: str, number: str, caller: CallerDep, *, include_aliases: bool = True) -> dict[str, Any]:
        found = await versions.get(
            await grants.check(caller, ModelName.parse(full_name, "full_name"), Privilege.EXECUTE), check_number(number)
        )
        return version_info(found, aliases=include_aliases)
