"""Tokens for one endpoint: what an endpoint says of them, and what they are exchanged for."""

import json

import httpx
import pytest

from penstock.domain.routing import EndpointRoute, EntityRoute
from penstock.testing.acl import OPEN

SCIM = "/api/2.0/preview/scim/v2"
ENDPOINTS = "/api/2.0/serving-endpoints"
JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DETAIL = {
    "type": "workspace_permission",
    "object_type": "serving-endpoints",
    "object_path": "/serving-endpoints/ID",
    "actions": ["query_inference_endpoint"],
}


@pytest.fixture
def having(site):
    """A client with that token."""

    def client(token):
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=site), base_url="http://penstock", headers=headers)

    return client


@pytest.fixture
async def endpoint(admin):
    answer = await admin.post(ENDPOINTS, json={"name": "direct", "route_optimized": True})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def robot(admin, endpoint):
    """A service principal that may query the endpoint: its id at the token endpoint, its secret, its application id."""
    made = (await admin.post(f"{SCIM}/ServicePrincipals", json={"displayName": "Robot"})).json()
    path = f"/api/2.0/accounts/servicePrincipals/{made['id']}/credentials/secrets"
    secret = (await admin.post(path)).json()["secret"]
    await grant(admin, endpoint, made["applicationId"], "CAN_QUERY")
    return {"client_id": made["applicationId"], "client_secret": secret}


async def grant(admin, endpoint, application_id, level):
    wanted = [{"service_principal_name": application_id, "permission_level": level}]
    path = f"/api/2.0/permissions/serving-endpoints/{endpoint['id']}"
    assert (await admin.put(path, json={"access_control_list": wanted})).status_code == 200


async def exchange(anonymous, **form):
    return await anonymous.post("/oidc/v1/token", data=form)


async def token_of(anonymous, robot, **more):
    answer = await exchange(anonymous, grant_type="client_credentials", **robot, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def details(endpoint):
    return endpoint["data_plane_info"]["query_info"]["authorization_details"]


async def test_a_route_optimized_endpoint_says_where_and_with_what_it_is_asked(admin, endpoint):
    url = "http://penstock/serving-endpoints/direct/invocations"
    assert endpoint["endpoint_url"] == endpoint["data_plane_info"]["query_info"]["endpoint_url"] == url
    [detail] = json.loads(details(endpoint))
    assert detail["object_path"] == f"/serving-endpoints/{endpoint['id']}"
    assert (await admin.get(f"{ENDPOINTS}/direct")).json()["data_plane_info"] == endpoint["data_plane_info"]
    plain = (await admin.post(ENDPOINTS, json={"name": "plain"})).json()
    assert not {"endpoint_url", "data_plane_info"} & set(plain)


async def test_a_token_is_exchanged_for_one_of_the_data_plane(having, anonymous, robot, endpoint, clock):
    whole = await token_of(anonymous, robot)
    assert whole["scope"] == "all-apis"
    await clock.advance(3000)
    answer = await exchange(
        anonymous, grant_type=JWT, assertion=whole["access_token"], authorization_details=details(endpoint)
    )
    narrow = answer.json()
    assert (answer.status_code, narrow["scope"], narrow["token_type"]) == (200, "serving", "Bearer")
    assert narrow["expires_in"] == 600, "it does not outlive the token that it was made of"
    assert narrow["authorization_details"] == json.loads(details(endpoint))
    async with having(narrow["access_token"]) as client:
        assert (await client.get("/serving-endpoints/models")).status_code == 200
        assert (await client.get(ENDPOINTS)).status_code == 403
        await clock.advance(600)
        assert (await client.get("/serving-endpoints/models")).status_code == 403


async def test_a_client_may_ask_for_it_at_once(anonymous, robot, endpoint):
    made = await token_of(anonymous, robot, scope="all-apis", authorization_details=details(endpoint))
    assert (made["scope"], made["expires_in"]) == ("serving", 3600)


@pytest.fixture
async def narrow(anonymous, robot, endpoint, having):
    """A client with a token for the endpoint; its principal may query another one too."""
    made = await token_of(anonymous, robot, authorization_details=details(endpoint))
    async with having(made["access_token"]) as client:
        yield client


@pytest.fixture
async def other(admin, robot):
    made = (await admin.post(ENDPOINTS, json={"name": "other", "route_optimized": True})).json()
    await grant(admin, made, robot["client_id"], "CAN_MANAGE")
    return made


def published(gateway, endpoint, name):
    """Is there, without a task: whoever may ask is told so."""
    entity = EntityRoute("far", (), scales_to_zero=False)
    gateway.table.publish(EndpointRoute(endpoint["id"], name, "boss", None, (), (entity,), acl=OPEN))


async def test_it_opens_its_endpoint_and_no_other(gateway, narrow, endpoint, other):
    published(gateway, endpoint, "direct")
    published(gateway, other, "other")
    hello = {"model": "other", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1, "input": "a"}
    assert (await narrow.post("/serving-endpoints/direct/invocations", json=hello)).status_code == 400
    paths = ("other/invocations", "other/served-models/far/invocations", "chat/completions", "responses")
    for path in (*paths, "anthropic/v1/messages", "gemini/v1beta/models/other:generateContent"):
        answer = await narrow.post(f"/serving-endpoints/{path}", json=hello)
        assert answer.status_code == 403, path
        assert f"to the endpoint with id '{endpoint['id']}' alone, not for 'other'" in answer.text
    own = await narrow.post("/serving-endpoints/chat/completions", json={**hello, "model": "direct"})
    assert own.status_code == 400
    refused = (await narrow.post("/serving-endpoints/other/invocations", json=hello)).json()
    assert refused["error_code"] == "PERMISSION_DENIED"
    listed = (await narrow.get("/serving-endpoints/models")).json()["data"]
    assert [one["id"] for one in listed] == ["direct"]
    assert (await narrow.get("/serving-endpoints/models/other")).status_code == 404


async def test_it_is_good_for_no_other_api(narrow, endpoint, other):
    for path in (ENDPOINTS, f"{ENDPOINTS}/direct", f"{ENDPOINTS}/other", "/serving-endpoints/files"):
        answer = await narrow.get(path)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED"), path
    batch = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    answer = await narrow.post("/serving-endpoints/batches", json=batch)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    assert f"the endpoint with id '{endpoint['id']}' alone, not for this API" in answer.json()["message"]


async def test_it_is_exchanged_for_no_token_of_another_endpoint(anonymous, robot, endpoint, other):
    made = await token_of(anonymous, robot, authorization_details=details(endpoint))
    form = {"grant_type": JWT, "assertion": made["access_token"]}
    answer = await exchange(anonymous, **form, authorization_details=details(other))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_authorization_details")
    again = await exchange(anonymous, **form, authorization_details=details(endpoint))
    assert again.status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "{}",
        "[]",
        "[" * 2000,
        '["x"]',
        "x" * 5000,
        *(
            json.dumps(wrong)
            for wrong in (
                DETAIL,
                [{"type": "workspace_permission"}],
                [DETAIL, DETAIL],
                [{**DETAIL, "type": "other"}],
                [{**DETAIL, "object_path": "/clusters/ID"}],
                [{**DETAIL, "object_path": "/serving-endpoints/"}],
                [{**DETAIL, "object_path": "/serving-endpoints/\0"}],
                [{**DETAIL, "object_path": 1}],
                [{**DETAIL, "actions": ["manage_inference_endpoint"]}],
                [{**DETAIL, "more": 1}],
            )
        ),
    ],
)
async def test_details_that_ask_for_something_else_are_refused(anonymous, robot, endpoint, wrong):
    whole = await token_of(anonymous, robot)
    given = wrong.replace("ID", endpoint["id"])
    answer = await exchange(anonymous, grant_type=JWT, assertion=whole["access_token"], authorization_details=given)
    error = "invalid_authorization_details" if wrong else "invalid_request"
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_who_may_not_query_gets_none(admin, anonymous, robot, endpoint):
    whole = await token_of(anonymous, robot)
    await grant(admin, endpoint, robot["client_id"], "CAN_VIEW")
    for form in (
        {"grant_type": JWT, "assertion": whole["access_token"]},
        {"grant_type": "client_credentials", **robot},
    ):
        for asked in (details(endpoint), details(endpoint).replace(endpoint["id"], "0" * 32)):
            answer = await exchange(anonymous, **form, authorization_details=asked)
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_authorization_details")
            assert "not authorized" in answer.json()["error_description"]


async def test_only_a_valid_oauth_token_is_exchanged(admin, anonymous, robot, endpoint, clock):
    whole = await token_of(anonymous, robot)
    form = {"grant_type": JWT, "authorization_details": details(endpoint)}
    for assertion in ("", "x", "dapi-admin-token"):
        answer = await exchange(anonymous, **form, assertion=assertion)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    await clock.advance(3600)
    answer = await exchange(anonymous, **form, assertion=whole["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    fresh = await token_of(anonymous, robot)
    [principal] = (await admin.get(f"{SCIM}/ServicePrincipals")).json()["Resources"]
    off = {"Operations": [{"op": "replace", "path": "active", "value": False}]}
    await admin.patch(f"{SCIM}/ServicePrincipals/{principal['id']}", json=off)
    answer = await exchange(anonymous, **form, assertion=fresh["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_call_through_a_connection_finds_none(user):
    call = {"connection_name": "weather", "method": "GET", "path": "/", "headers": None, "json": "{}"}
    answer = await user.post("/api/2.0/external-function", json=call)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert answer.json()["message"].startswith("Connection 'weather' does not exist")
    for field, value in (("method", "TRACE"), ("connection_name", ""), ("path", None)):
        answer = await user.post("/api/2.0/external-function", json={**call, field: value})
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert answer.json()["message"].startswith(f"{field}: ")
