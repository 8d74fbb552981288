"""What holds for every control-plane route: ids, error shapes, slashes, bodies."""

import json
import uuid

import httpx
import pytest
from pydantic import BaseModel

from penstock.domain.errors import Overloaded, PenstockError
from penstock.web.app import Site
from penstock.web.guard import Access, CallerDep, allows, guarded_router


class Thing(BaseModel):
    name: str
    count: int = 0


@pytest.fixture
def site(site: Site) -> Site:
    """The application with routes that misbehave on demand."""
    routes = guarded_router()

    @routes.post("/things", openapi_extra=allows(Access.USER))
    async def make(thing: Thing, caller: CallerDep) -> dict[str, str]:
        return {"name": thing.name, "caller": caller.principal.name}

    @routes.get("/crash", openapi_extra=allows(Access.ANYONE))
    async def crash() -> None:
        raise ZeroDivisionError("a secret detail")

    @routes.get("/fault", openapi_extra=allows(Access.ANYONE))
    async def fault() -> None:
        raise PenstockError("A replica cannot go back.")

    @routes.get("/busy", openapi_extra=allows(Access.ANYONE))
    async def busy() -> None:
        raise Overloaded("Too much.", retry_after_s=7)

    @routes.get("/rules", openapi_extra=allows(Access.ADMIN))
    async def rules() -> dict[str, str]:
        return {}

    site._control.router.routes.extend(routes.routes)
    return site


def shape(answer: httpx.Response, status: int, code: str) -> str:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["error_code"] == code
    assert answer.headers["content-type"] == "application/json"
    assert body["details"][0]["request_id"] == answer.headers["x-request-id"]
    return body["message"]


async def test_a_request_id_is_made(anonymous):
    answer = await anonymous.get("/health/live")
    assert str(uuid.UUID(answer.headers["x-request-id"])) == answer.headers["x-request-id"]
    assert answer.headers["x-databricks-org-id"].isdigit()


@pytest.mark.parametrize(("sent", "kept"), [("job-7:step.2_a", True), ("spaces are bad", False), ("x" * 129, False)])
async def test_a_sane_request_id_of_the_caller_is_kept(anonymous, sent, kept):
    answer = await anonymous.get("/health/live", headers={"x-request-id": sent})
    assert (answer.headers["x-request-id"] == sent) is kept


async def test_unknown_routes_and_methods(anonymous):
    assert shape(await anonymous.get("/api/2.0/none"), 404, "ENDPOINT_NOT_FOUND") == (
        "No API found for 'GET /api/2.0/none'."
    )
    answer = await anonymous.delete("/health/live")
    shape(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET"


async def test_a_trailing_slash_makes_no_difference(user):
    answer = await user.post("/things/", json={"name": "a"})
    assert answer.json() == {"name": "a", "caller": "user@x.org"}


@pytest.mark.parametrize("content_type", ["text/json", "application/x-www-form-urlencoded", None])
async def test_json_is_read_whatever_the_content_type(user, content_type):
    headers = {"content-type": content_type} if content_type else {}
    answer = await user.post("/things", content=json.dumps({"name": "a"}), headers=headers)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        ("{", "MALFORMED_REQUEST", "The request body is not valid JSON"),
        ("", "MALFORMED_REQUEST", "must be a JSON object"),
        ("[1]", "MALFORMED_REQUEST", "must be a JSON object"),
        ("{}", "INVALID_PARAMETER_VALUE", "name: field required."),
        ('{"name": 1, "count": "x"}', "INVALID_PARAMETER_VALUE", "name: input should be a valid string. (1 more field"),
    ],
)
async def test_bodies_that_do_not_fit(user, content, code, message):
    assert message in shape(await user.post("/things", content=content), 400, code)


async def test_a_body_beyond_the_limit(user):
    async def pieces():
        for _ in range(5):
            yield b" " * 1024 * 1024

    for content in (b" " * 5 * 1024 * 1024, pieces()):
        answer = await user.post("/things", content=content)
        assert "larger than the 4194304 bytes" in shape(answer, 400, "BAD_REQUEST")


async def test_the_caller_comes_before_the_body(anonymous):
    shape(await anonymous.post("/things", content="{"), 401, "UNAUTHENTICATED")


async def test_a_crash_tells_its_id_and_nothing_else(anonymous):
    answer = await anonymous.get("/crash")
    message = shape(answer, 500, "INTERNAL_ERROR")
    assert answer.headers["x-request-id"] in message
    assert "secret" not in message
    assert "Unexpected error" not in message


async def test_faults_of_the_house_are_500(anonymous):
    assert shape(await anonymous.get("/fault"), 500, "INTERNAL_ERROR") == "A replica cannot go back."


async def test_overload_says_when_to_come_back(anonymous):
    answer = await anonymous.get("/busy")
    shape(answer, 429, "REQUEST_LIMIT_EXCEEDED")
    assert answer.headers["retry-after"] == "7"


async def test_only_administrators_where_declared(admin, user):
    assert (await admin.get("/rules")).json() == {}
    assert "Only administrators" in shape(await user.get("/rules"), 403, "PERMISSION_DENIED")


def test_a_route_without_declared_access_is_refused():
    routes = guarded_router()

    async def open_to_all() -> None:
        return None

    with pytest.raises(TypeError, match="does not declare its access"):
        routes.add_api_route("/open", open_to_all)


async def test_ready_names_what_is_away(anonymous, store):
    answer = await anonymous.get("/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "services": {"database": "ok"}})
    store.away = True
    answer = await anonymous.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["services"] == {"database": "The database cannot be reached."}
