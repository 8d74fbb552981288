"""Every route of the catalogue and of its files asks for the grant that the rules say: without it, it shows nothing."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from penstock.web.guard import Access

RULES = tomllib.loads(Path(__file__).with_name("grant_rules.toml").read_text())
PARTS = (
    "/api/2.0/fs/",
    "/api/2.0/mlflow/unity-catalog/",
    "/api/2.0/serving-endpoints/get-model-optimization-info/",
    "/api/2.0/serving-endpoints/profiles/",
    "/api/2.1/unity-catalog/",
)
WITH_USE_ALONE = {"USE_CATALOG", "USE_SCHEMA", "any", "listed", "open"}
PRIVILEGES = [name for name in RULES if name not in {*WITH_USE_ALONE, "owner"}]
UC = "/api/2.1/unity-catalog"
ML = "/api/2.0/mlflow/unity-catalog"
# A word that nothing else in an answer holds.
CATALOG = "hidden"
SCHEMA, NAME, VERSION = f"{CATALOG}.default", f"{CATALOG}.default.guide", f"/Models/{CATALOG}/default/guide/1"
FILE, FOLDER = f"{VERSION}/a.txt", f"{VERSION}/d"
BODY = {
    "name": NAME,
    "catalog_name": CATALOG,
    "schema_name": "default",
    "model_name": "guide",
    "version": "1",
    "version_num": 1,
    "alias": "best",
    "key": "k",
    "value": "v",
    "comment": "c",
    "description": "d",
    "source": "x",
    "changes": {"add_tags": [{"key": "k", "value": "v"}]},
    "path": FILE,
    "session_token": "s",
    "start_part_number": 1,
}
OWN_BODIES = {
    f"POST {ML}/registered-models/create": {"name": f"{SCHEMA}.other"},
    f"POST {UC}/models": {**BODY, "name": "other"},
    f"POST {UC}/schemas": {**BODY, "name": "other"},
    f"POST {UC}/catalogs": {"name": "mine"},
    f"PATCH {UC}/permissions/{{securable_type}}/{{full_name}}": {"changes": []},
    "POST /api/2.0/serving-endpoints/profiles/{name}/{version}": {},
}
QUERY = {"name": NAME, "version": "1", "alias": "best", "catalog_name": CATALOG, "action": "initiate-upload"}
WITHOUT_QUERY = (f"GET {UC}/models", f"GET {ML}/registered-models/search", f"GET {ML}/model-versions/search")
PLACES = {
    "full_name": NAME,
    "name": NAME,
    "version": "1",
    "number": "1",
    "alias": "best",
    "securable_type": "function",
}
NOUNS = {"/catalogs/": CATALOG, "/schemas/": SCHEMA}


def test_every_route_of_the_catalogue_stands_under_one_rule(site):
    served = {
        f"{route.method} {route.path}"
        for route in site.routes
        if route.path.startswith(PARTS) and route.access is not Access.SIGNED and not route.path.endswith("/")
    }
    ruled = [route for routes in RULES.values() for route in routes]
    assert len(ruled) == len(set(ruled))
    assert set(ruled) == served


@dataclass
class Stage:
    """A catalog that is closed to everybody, with a model and a version with a file in it."""

    user: httpx.AsyncClient
    store: object

    async def call(self, route: str) -> httpx.Response:
        """The answer to the user; rows that it changed are as before."""
        before = self.store.rows.copy()
        method, path = route.split(" ", 1)
        named = [name for noun, name in NOUNS.items() if noun in path]
        places = {
            **PLACES,
            **({"name": named[0], "full_name": named[0]} if named else {}),
            "path": (FOLDER if "/directories/" in path else FILE).removeprefix("/"),
        }
        path = re.sub(r"\{(\w+)(:path)?\}", lambda found: places[found[1]], path)
        body = None if method in ("GET", "HEAD") else OWN_BODIES.get(route, BODY)
        query = None if route in WITHOUT_QUERY else QUERY
        answer = await self.user.request(method, path, params=query, json=body)
        self.store.rows = before
        return answer


@pytest.fixture
async def stage(admin, user, store):
    for method, path, body in (
        ("POST", f"{ML}/registered-models/create", {"name": NAME}),
        ("POST", f"{ML}/model-versions/create", {"name": NAME, "source": "x"}),
        ("POST", f"{ML}/registered-models/alias", {"name": NAME, "alias": "best", "version": "1"}),
        ("PUT", f"/api/2.0/fs/directories{FOLDER}", None),
    ):
        assert (await admin.request(method, path, json=body)).is_success
    assert (await admin.put(f"/api/2.0/fs/files{FILE}", content=b"abc")).is_success
    opened = (await admin.get(f"{UC}/permissions/catalog/{CATALOG}")).json()["privilege_assignments"]
    await change(admin, [{"principal": one["principal"], "remove": one["privileges"]} for one in opened])
    return Stage(user, store)


async def change(admin, changes):
    answer = await admin.patch(f"{UC}/permissions/catalog/{CATALOG}", json={"changes": changes})
    assert answer.status_code == 200, answer.text


def refused(answer):
    """Whether the caller was refused; answers to HEAD have no body."""
    denied = answer.request.method == "HEAD" or answer.is_success or answer.json()["error_code"] == "PERMISSION_DENIED"
    return answer.status_code == 403 and denied


@pytest.mark.parametrize("rule", RULES)
async def test_who_was_granted_nothing_is_refused_or_shown_nothing(stage, rule):
    for route in RULES[rule]:
        answer = await stage.call(route)
        if rule in {"listed", "open"}:
            assert answer.is_success, (route, answer.text)
            assert CATALOG not in answer.text, route
        else:
            assert refused(answer), (route, answer.status_code, answer.text)


@pytest.mark.parametrize("privilege", PRIVILEGES)
async def test_each_privilege_opens_its_own_routes_and_no_others(stage, admin, privilege):
    await change(admin, [{"principal": "user@x.org", "add": ["USE_CATALOG", "USE_SCHEMA", privilege]}])
    opened = {privilege, *WITH_USE_ALONE}
    for rule in sorted(RULES, key=lambda name: name in opened):
        for route in RULES[rule]:
            answer = await stage.call(route)
            assert refused(answer) is (rule not in opened), (route, answer.status_code, answer.text)
            assert answer.status_code < 500, (route, answer.text)
            if rule == "listed":
                assert CATALOG in answer.text, route
