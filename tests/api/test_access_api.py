"""Tokens, SCIM, client secrets, OAuth and discovery over HTTP."""

import base64
from contextlib import asynccontextmanager

import httpx
import pytest

SCIM = "/api/2.0/preview/scim/v2"


@pytest.fixture
def having(site):
    """A client that sends a given Authorization header."""

    @asynccontextmanager
    async def make(authorization):
        transport = httpx.ASGITransport(app=site)
        headers = {"authorization": authorization}
        async with httpx.AsyncClient(transport=transport, base_url="http://penstock", headers=headers) as client:
            yield client

    return make


async def test_me_as_user(user):
    answer = await user.get(f"{SCIM}/Me")
    me = answer.json()
    assert answer.headers["x-databricks-org-id"].isdigit()
    assert me["schemas"] == ["urn:ietf:params:scim:schemas:core:2.0:User"]
    assert (me["id"], me["userName"], me["displayName"], me["active"]) == ("2", "user@x.org", "User", True)
    assert me["emails"] == [{"value": "user@x.org", "type": "work", "primary": True}]
    assert me["groups"] == [{"display": "users", "value": "12", "type": "direct", "$ref": "Groups/12"}]
    assert set((await user.get(f"{SCIM}/Me", params={"attributes": "userName,name.givenName"})).json()) == {
        *("schemas", "id", "userName", "name")
    }


async def test_basic_with_the_user_name_token(having):
    good = base64.b64encode(b"token:dapi-user-token").decode()
    async with having(f"Basic {good}") as client:
        assert (await client.get(f"{SCIM}/Me")).json()["userName"] == "user@x.org"


async def test_no_credential_and_a_bad_one(anonymous, having):
    answer = await anonymous.get(f"{SCIM}/Me")
    assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
    assert answer.json()["message"] == "Credential was not sent or was of an unsupported type for this API."
    async with having("Bearer nonsense") as client:
        answer = await client.get(f"{SCIM}/Me")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    assert answer.json()["message"] == "Invalid access token."


async def test_a_database_that_is_away_is_503_for_unknown_tokens_only(user, having, store):
    assert (await user.get(f"{SCIM}/Me")).status_code == 200
    store.away = True
    assert (await user.get(f"{SCIM}/Me")).status_code == 200
    async with having("Bearer other") as client:
        answer = await client.get(f"{SCIM}/Me")
    assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert answer.headers["retry-after"] == "2"


async def test_the_life_of_a_token(user, having):
    made = (await user.post("/api/2.0/token/create", json={"comment": "ci", "lifetime_seconds": 60})).json()
    info = made["token_info"]
    assert made["token_value"].startswith("dapi")
    assert info["expiry_time"] == info["creation_time"] + 60_000
    listed = (await user.get("/api/2.0/token/list")).json()["token_infos"]
    assert info["token_id"] in [token["token_id"] for token in listed]
    assert made["token_value"] not in str(listed)
    async with having(f"Bearer {made['token_value']}") as client:
        assert (await client.get(f"{SCIM}/Me")).status_code == 200
        answer = await user.post("/api/2.0/token/delete", json={"token_id": info["token_id"]})
        assert answer.json() == {}
        assert (await client.get(f"{SCIM}/Me")).status_code == 403
    answer = await user.post("/api/2.0/token/delete", json={"token_id": info["token_id"]})
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


async def test_a_token_without_end_and_the_quota(user):
    made = (await user.post("/api/2.0/token/create", json={})).json()
    assert made["token_info"]["expiry_time"] == -1
    answer = await user.post("/api/2.0/token/create", json={})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "QUOTA_EXCEEDED")


async def test_administrators_see_and_revoke_everybodys_tokens(admin, user, having):
    managed = "/api/2.0/token-management/tokens"
    made = (await user.post("/api/2.0/token/create", json={"comment": "ci", "lifetime_seconds": 60})).json()
    info = made["token_info"]
    async with having(f"Bearer {made['token_value']}") as client:
        assert (await client.get(f"{SCIM}/Me")).status_code == 200
        everybodys = (await admin.get(managed)).json()["token_infos"]
        assert {one["created_by_username"] for one in everybodys} == {"admin@x.org", "user@x.org"}
        mine = (await admin.get(managed, params={"created_by_id": 2})).json()["token_infos"]
        by_name = await admin.get(managed, params={"created_by_username": "user@x.org"})
        assert by_name.json()["token_infos"] == mine
        [told] = [one for one in mine if one["token_id"] == info["token_id"]]
        assert (told["owner_id"], told["comment"], told["expiry_time"]) == (2, "ci", info["expiry_time"])
        assert (await admin.get(f"{managed}/{info['token_id']}")).json()["token_info"] == told
        assert made["token_value"] not in str(everybodys)
        assert (await admin.get(managed, params={"created_by_username": "nobody"})).json() == {"token_infos": []}
        assert (await admin.delete(f"{managed}/{info['token_id']}")).json() == {}
        assert (await client.get(f"{SCIM}/Me")).status_code == 403
    for gone in (await admin.get(f"{managed}/{info['token_id']}"), await admin.delete(f"{managed}/{info['token_id']}")):
        assert (gone.status_code, gone.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    for path in (managed, f"{managed}/token-admin"):
        assert (await user.get(path)).status_code == 403


async def test_an_administrator_makes_a_token_for_a_service_principal(admin, user, having):
    managed, path = "/api/2.0/token-management/tokens", "/api/2.0/token-management/on-behalf-of/tokens"
    robot = (await admin.post(f"{SCIM}/ServicePrincipals", json={"displayName": "Robot"})).json()
    body = {"application_id": robot["applicationId"], "comment": "job", "lifetime_seconds": 60}
    made = (await admin.post(path, json=body)).json()
    info = made["token_info"]
    assert (info["owner_id"], info["created_by_id"]) == (int(robot["id"]), 1)
    assert (info["created_by_username"], info["comment"]) == ("admin@x.org", "job")
    assert (await admin.get(f"{managed}/{info['token_id']}")).json()["token_info"] == info
    theirs = (await admin.get(managed, params={"created_by_username": robot["applicationId"]})).json()
    assert theirs == {"token_infos": []}, "it is the administrator who made it"
    async with having(f"Bearer {made['token_value']}") as client:
        assert (await client.get(f"{SCIM}/Me")).json()["userName"] == robot["applicationId"]
    assert (await user.post(path, json=body)).status_code == 403
    for wrong, status, word in (
        ({"application_id": "user@x.org"}, 404, "application id 'user@x.org'"),
        ({**body, "autoscope_enabled": True}, 400, "autoscope_enabled"),
        ({**body, "scopes": ["root"]}, 400, "scopes must be one of"),
        ({**body, "lifetime_seconds": 0}, 400, "lifetime_seconds"),
    ):
        answer = await admin.post(path, json=wrong)
        assert (answer.status_code, word in answer.json()["message"]) == (status, True)


async def test_a_token_for_serving_opens_no_other_api(user, having):
    body = {"scopes": ["serving"]}
    value = (await user.post("/api/2.0/token/create", json=body)).json()["token_value"]
    async with having(f"Bearer {value}") as client:
        answer = await client.get(f"{SCIM}/Me")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    assert "scope 'serving'" in answer.json()["message"]
    answer = await user.post("/api/2.0/token/create", json={"scopes": ["root"]})
    assert answer.json()["message"] == "scopes must be one of all-apis, serving, but is 'root'."


@pytest.fixture
async def team(admin):
    """The id of a group."""
    return (await admin.post(f"{SCIM}/Groups", json={"displayName": "team"})).json()["id"]


@pytest.mark.usefixtures("team")
async def test_users_are_administered(admin, user):
    made = await admin.post(f"{SCIM}/Users", json={"userName": "n@x.org", "groups": [{"display": "team"}]})
    assert made.status_code == 201
    path = f"{SCIM}/Users/{made.json()['id']}"
    assert [group["display"] for group in made.json()["groups"]] == ["team", "users"]
    assert (await admin.get(path)).json() == made.json()
    listed = (await admin.get(f"{SCIM}/Users")).json()
    assert (listed["totalResults"], len(listed["Resources"])) == (3, 3)
    answer = await admin.post(f"{SCIM}/Users", json={"userName": "n@x.org"})
    assert (answer.status_code, answer.json()["error_code"]) == (409, "RESOURCE_ALREADY_EXISTS")
    assert (await user.post(f"{SCIM}/Users", json={"userName": "o@x.org"})).status_code == 403
    assert (await admin.delete(path)).json() == {}
    assert (await admin.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, ["1", "2"]),
        ({"startIndex": 0, "count": 1}, ["1"]),
        ({"startIndex": 2}, ["2"]),
        ({"startIndex": 3}, []),
        ({"filter": 'userName eq "USER@x.org"'}, ["2"]),
        ({"filter": "id eq 1"}, ["1"]),
        ({"filter": 'displayName eq "nobody"'}, []),
    ],
)
async def test_users_are_listed_in_pages_and_by_filter(admin, query, ids):
    answer = (await admin.get(f"{SCIM}/Users", params=query)).json()
    assert [user["id"] for user in answer["Resources"]] == ids
    assert answer["itemsPerPage"] == len(ids)


async def test_a_filter_that_is_not_understood(admin):
    answer = await admin.get(f"{SCIM}/Users", params={"filter": "userName sw a"})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("filter must be one of id, userName, displayName, applicationId eq")


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize(
    ("operation", "active", "groups"),
    [
        ({"op": "replace", "path": "active", "value": False}, False, ["users"]),
        ({"op": "Replace", "value": {"active": False}}, False, ["users"]),
        ({"op": "add", "path": "groups", "value": [{"display": "team"}]}, True, ["team", "users"]),
        ({"op": "remove", "path": 'groups[value eq "11"]'}, True, ["users"]),
        ({"op": "replace", "path": "groups", "value": [{"value": "admins"}]}, True, ["admins", "users"]),
    ],
)
async def test_a_user_is_patched(admin, user, operation, active, groups):
    answer = await admin.patch(f"{SCIM}/Users/2", json={"Operations": [operation]})
    assert answer.json()["active"] is active
    assert [group["display"] for group in answer.json()["groups"]] == groups
    assert (await user.get(f"{SCIM}/Me")).status_code == (200 if active else 403)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"op": "remove", "path": "active"}, "Operations: 'remove' of 'active' is not supported."),
        ({"op": "replace", "path": "active", "value": {}}, "Operations: active must be a boolean"),
        ({"op": "add", "path": "groups", "value": "team"}, "Operations: the value of groups must be a list"),
        ({"op": "add", "path": "groups", "value": [1]}, "Operations: the value of groups must be a list"),
    ],
)
async def test_a_patch_that_is_not_understood(admin, operation, message):
    answer = await admin.patch(f"{SCIM}/Users/2", json={"Operations": [operation]})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)


async def service_principal(admin):
    made = (await admin.post(f"{SCIM}/ServicePrincipals", json={"displayName": "Robot"})).json()
    path = f"/api/2.0/accounts/servicePrincipals/{made['id']}/credentials/secrets"
    return made, path, (await admin.post(path)).json()


async def test_a_service_principal_gets_a_token_by_basic_and_by_form(admin, anonymous, having):
    made, _, secret = await service_principal(admin)
    form = {"grant_type": "client_credentials", "scope": "all-apis"}
    pair = {"client_id": made["applicationId"], "client_secret": secret["secret"]}
    answers = [
        await anonymous.post("/oidc/v1/token", data=form, auth=tuple(pair.values())),
        await anonymous.post("/oidc/v1/token", data={**form, **pair}),
    ]
    for answer in answers:
        body = answer.json()
        assert (body["token_type"], body["expires_in"]) == ("Bearer", 3600)
        async with having(f"Bearer {body['access_token']}") as client:
            assert (await client.get(f"{SCIM}/Me")).json()["applicationId"] == made["applicationId"]


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({}, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, 401, "invalid_client"),
        (
            {"grant_type": "client_credentials", "client_id": "x", "client_secret": "y", "scope": "root"},
            400,
            "invalid_scope",
        ),
    ],
)
async def test_oauth_refusals_have_oauths_shape(anonymous, form, status, error):
    answer = await anonymous.post("/oidc/v1/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["error_description"]
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("header", ["Bearer x", "Basic %%%", "Basic eA=="])
async def test_oauth_wants_basic_credentials_in_the_header(having, header):
    async with having(header) as client:
        answer = await client.post("/oidc/v1/token", data={"grant_type": "client_credentials"})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_client_secrets_are_listed_without_value_and_deleted(admin):
    _, path, secret = await service_principal(admin)
    assert (await admin.post(path, json={"lifetime": "60s"})).status_code == 200
    assert (await admin.post(path, json={"lifetime": "soon"})).status_code == 400
    listed = (await admin.get(path)).json()["secrets"]
    assert len(listed) == 2
    assert secret["secret"] not in str(listed)
    assert (await admin.delete(f"{path}/{secret['id']}")).json() == {}
    left = {one["id"] for one in (await admin.get(path)).json()["secrets"]}
    assert left == {one["id"] for one in listed} - {secret["id"]}


async def test_discovery_asks_nothing_of_the_database(anonymous, store):
    store.away = True
    config = (await anonymous.get("/.well-known/databricks-config")).json()
    assert config["oidc_endpoint"] == "http://penstock/oidc"
    assert config["workspace_id"].isdigit()
    for name in ("oauth-authorization-server", "openid-configuration"):
        server = (await anonymous.get(f"/oidc/.well-known/{name}")).json()
        assert server["token_endpoint"] == "http://penstock/oidc/v1/token"
        assert "authorization_endpoint" in server
