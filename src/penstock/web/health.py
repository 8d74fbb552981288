"""Whether the server lives, and whether it can do its work."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from penstock.control.health import Health
from penstock.web.guard import Access, allows, guarded_router


def router(health: Health) -> APIRouter:
    """GET /health/live and /health/ready."""
    routes = guarded_router()

    @routes.get("/health/live", openapi_extra=allows(Access.ANYONE))
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @routes.get("/health/ready", openapi_extra=allows(Access.ANYONE))
    async def ready() -> JSONResponse:
        services = await health.ask()
        good = all(answer == "ok" for answer in services.values())
        status = "ready" if good else "not ready"
        return JSONResponse({"status": status, "services": services}, 200 if good else 503)

    return routes
