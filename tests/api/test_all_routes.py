"""Every route there is: its declared access is what happens, and every error has the API's shape."""

import re

import httpx
import pytest

from penstock.web.app import Site
from penstock.web.guard import Access, Declared

# Its clients expect OAuth's error shape.
OAUTH = "/oidc/v1/token"


@pytest.fixture
def with_token(site: Site):
    async def call(route: Declared, token: str | None) -> httpx.Response:
        path = re.sub(r"\{[^}]*\}", "x", route.path)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(app=site)
        async with httpx.AsyncClient(transport=transport, base_url="http://penstock", headers=headers) as client:
            return await client.request(route.method, path)

    return call


def refused(answer: httpx.Response, route: Declared) -> tuple[int, str]:
    """Status and error code; answers to HEAD have no body, so there the status must do."""
    code = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}.get(answer.status_code, "")
    return answer.status_code, code if route.method == "HEAD" else answer.json()["error_code"]


def assert_shape(answer: httpx.Response, route: Declared) -> None:
    if route.method == "HEAD":
        assert not answer.content
        return
    if route.path == OAUTH:
        assert set(answer.json()) == {"error", "error_description"}
        return
    body = answer.json()
    assert isinstance(body["error_code"], str), route
    assert isinstance(body["message"], str), route
    assert body["message"], route
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert "Unexpected error" not in body["message"]


async def test_anonymous_callers_get_401_unless_the_route_is_for_anyone(site, with_token):
    for route in site.routes:
        answer = await with_token(route, None)
        closed = route.access in (Access.USER, Access.ADMIN)
        if closed:
            assert refused(answer, route) == (401, "UNAUTHENTICATED"), route
        if answer.status_code >= 400:
            assert_shape(answer, route)


async def test_administrators_routes_refuse_users(site, with_token):
    routes = [route for route in site.routes if route.access is Access.ADMIN]
    assert len(routes) > 5
    for route in routes:
        answer = await with_token(route, "dapi-user-token")
        assert refused(answer, route) == (403, "PERMISSION_DENIED"), route
        assert_shape(answer, route)


async def test_tokens_for_serving_open_the_data_plane_only(site, with_token):
    for route in site.routes:
        if route.access in (Access.USER, Access.ADMIN) and not route.path.startswith("/serving-endpoints/"):
            answer = await with_token(route, "dapi-serving-token")
            assert refused(answer, route) == (403, "PERMISSION_DENIED"), route


async def test_callers_with_every_right_get_answers_or_errors_of_the_right_shape(site, with_token):
    for route in site.routes:
        answer = await with_token(route, "dapi-admin-token")
        assert answer.status_code < 500, (route, answer.text)
        if answer.status_code >= 400:
            assert_shape(answer, route)
