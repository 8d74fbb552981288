"""The marketplace: /api/2.0/marketplace/*. Ours: the platform has it in its pages only."""

from typing import Any

from fastapi import APIRouter

from penstock.control.installs import Installs, InstallWish
from penstock.control.marketplace import Marketplace, Page
from penstock.control.offers import Forecast
from penstock.domain.errors import InvalidParameter
from penstock.domain.market import Install, Listing, Query
from penstock.domain.model import Task
from penstock.domain.names import ModelName
from penstock.web.databricks.catalog_objects import Body
from penstock.web.guard import Access, CallerDep, allows, guarded_router

BASE = "/api/2.0/marketplace"
_USER = allows(Access.USER)


class InstallBody(Body):
    """Body of an installation."""

    repository: str
    catalog_name: str
    schema_name: str
    model_name: str
    task: str
    revision: str = "main"
    source: str = ""


def router(market: Marketplace, installs: Installs) -> APIRouter:
    """All of them."""
    routes = guarded_router()
    _add_models(routes, market)
    _add_installs(routes, installs)
    return routes


def _add_models(routes: APIRouter, market: Marketplace) -> None:
    @routes.get(f"{BASE}/models", openapi_extra=_USER)
    async def search(
        caller: CallerDep,  # noqa: ARG001 - whoever is signed in
        *,
        search: str = "",
        family: str = "",
        task: str = "",
        licence: str = "",
        min_parameters: int = 0,
        max_parameters: int = 0,
        source: str = "",
        limit: int = 20,
    ) -> dict[str, Any]:
        wanted = _task(task) if task else None
        query = Query(search, family, wanted, licence, min_parameters, max_parameters, source, limit)
        found = await market.search(query)
        return {"models": [_listing(one) for one in found.listings], "problems": list(found.problems)}

    @routes.get(f"{BASE}/models/{{owner}}/{{name}}", openapi_extra=_USER)
    async def page(
        owner: str,
        name: str,
        caller: CallerDep,  # noqa: ARG001 - whoever is signed in
        *,
        revision: str = "main",
        source: str = "",
        task: str = "",
    ) -> dict[str, Any]:
        return _page(await market.page(f"{owner}/{name}", revision, source, _task(task) if task else None))


def _add_installs(routes: APIRouter, installs: Installs) -> None:
    @routes.post(f"{BASE}/installs", openapi_extra=_USER)
    async def begin(body: InstallBody, caller: CallerDep) -> dict[str, Any]:
        model = ModelName.of(body.catalog_name, body.schema_name, body.model_name)
        wish = InstallWish(body.repository, model, _task(body.task), body.revision, body.source)
        return _install(await installs.begin(caller, wish))

    @routes.get(f"{BASE}/installs", openapi_extra=_USER)
    async def list_all(caller: CallerDep) -> dict[str, Any]:
        return {"installs": [_install(one) for one in installs.all(caller)]}

    @routes.get(f"{BASE}/installs/{{install_id}}", openapi_extra=_USER)
    async def get(install_id: str, caller: CallerDep) -> dict[str, Any]:
        return _install(installs.get(caller, install_id))

    @routes.post(f"{BASE}/installs/{{install_id}}/cancel", openapi_extra=_USER)
    async def cancel(install_id: str, caller: CallerDep) -> dict[str, Any]:
        return _install(await installs.cancel(caller, install_id))

    @routes.post(f"{BASE}/installs/{{install_id}}/resume", openapi_extra=_USER)
    async def resume(install_id: str, caller: CallerDep) -> dict[str, Any]:
        return _install(await installs.resume(caller, install_id))

    @routes.delete(f"{BASE}/installs/{{install_id}}", openapi_extra=_USER)
    async def forget(install_id: str, caller: CallerDep) -> dict[str, Any]:
        await installs.forget(caller, install_id)
        return {}


def _task(text: str) -> Task:
    known = {name: task for task in Task for name in (task.value, task.value.rpartition("/")[2])}
    found = known.get(text)
    if found is None:
        raise InvalidParameter(f"task must be one of {', '.join(Task)}, but is {text[:80]!r}.")
    return found


def _listing(one: Listing) -> dict[str, Any]:
    return {
        "repository": one.repository,
        "source": one.source,
        "family": one.family,
        "pipeline": one.pipeline,
        "licence": one.licence,
        "parameters": one.parameters,
        "downloads": one.downloads,
        "gated": one.gated,
        "changed_at": one.changed_at,
    }


def _page(page: Page) -> dict[str, Any]:
    body = _listing(page.listing) | {
        "commit": page.commit,
        "size": page.size,
        "files": [{"path": one.path, "size": one.size, "sha256": one.sha256} for one in page.files],
        "card": page.card,
        "access": page.access,
        "servable": not page.problem and page.facts is not None,
        "problem": page.problem,
    }
    if page.facts is not None:
        body |= {"context_length": page.facts.context_length, "architecture": page.facts.architecture}
    return body | ({"forecast": _forecast(page.forecast)} if page.forecast is not None else {})


def _forecast(one: Forecast) -> dict[str, Any]:
    return {
        "fits": one.fits,
        "memory": one.memory,
        "device_memory": one.device_memory,
        "weight_precision": one.precision.value,
        "throughput": round(one.throughput, 1),
        "throughput_chunk_size": one.chunk,
        "estimated": True,
    }


def _install(one: Install) -> dict[str, Any]:
    body = {
        "id": one.id,
        "repository": one.repository,
        "source": one.source,
        "revision": one.revision,
        "full_name": one.model,
        "task": one.task.value,
        "owner": one.owner,
        "state": one.state.value,
        "size": one.size,
        "downloaded": one.came,
        "file": one.file,
        "message": one.message,
        "created_at": one.created_at,
        "updated_at": one.changed_at,
    }
    return {**body, "version": one.version} if one.version else body
