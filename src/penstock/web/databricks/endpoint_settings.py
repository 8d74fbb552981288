"""What an endpoint has beside its configuration: stop and start, notifications, telemetry."""

from typing import Any

from fastapi import APIRouter

from penstock.control.endpoint_settings import EndpointSettings
from penstock.web.databricks import endpoint_answers as answers
from penstock.web.databricks.endpoint_setting_bodies import NotificationsBody, TelemetryPatchBody
from penstock.web.databricks.serving_endpoints import ROOT
from penstock.web.guard import Access, CallerDep, allows, guarded_router
from penstock.web.origin import OriginDep


def router(settings: EndpointSettings) -> APIRouter:
    """The routes."""
    routes = guarded_router()

    async def stop_endpoint(name: str, caller: CallerDep, origin: OriginDep) -> dict[str, Any]:
        return answers.detailed(await settings.stop(caller, name), origin)

    async def start_endpoint(name: str, caller: CallerDep, origin: OriginDep) -> dict[str, Any]:
        return answers.detailed(await settings.start(caller, name), origin)

    async def patch_notifications(name: str, body: NotificationsBody, caller: CallerDep) -> dict[str, Any]:
        wanted = await settings.set_notifications(caller, name, body.wish())
        return {"name": name, "email_notifications": answers.notifications(wanted)}

    async def patch_telemetry(
        name: str, body: TelemetryPatchBody, caller: CallerDep, origin: OriginDep
    ) -> dict[str, Any]:
        return answers.detailed(await settings.set_telemetry(caller, name, body.wish()), origin)

    for method, path, handler in (
        ("POST", "config:stop", stop_endpoint),
        ("POST", "config:start", start_endpoint),
        ("PATCH", "notifications", patch_notifications),
        ("PATCH", "telemetry-config", patch_telemetry),
    ):
        for ending in ("", "/"):
            routes.add_api_route(
                f"{ROOT}/{{name}}/{path}{ending}", handler, methods=[method], openapi_extra=allows(Access.USER)
            )
    return routes
