"""What no database can hold is refused on every route of the control plane alike, and names its field."""

import base64
import json
import re

import pytest

DATA_PLANE = "/serving-endpoints/"
RELAYED = ["/api/2.0/mlflow/runs/create", "/api/2.0/mlflow/experiments/create", "/ml/graphql"]
ODD = {
    "half of a surrogate pair": b'"\\ud800"',
    "the character NUL": b'"\\u0000"',
    "a number of at most 64 bits": b"9" * 30,
    "a number that JSON has": b"NaN",
}


@pytest.fixture
async def taking_json(anonymous):
    """Method and path of every route of the control plane that takes JSON; what is named in a path does not matter."""
    document = (await anonymous.get("/openapi.json")).json()
    found = [
        (method.upper(), re.sub(r"\{\w+\}", "x", path))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
        and (not path.startswith(DATA_PLANE) or path == "/serving-endpoints/batches")
        and "application/json" in operation["requestBody"]["content"]
        and not path.endswith("/{path}")  # most of what is under these is not there
    ]
    assert len(found) > 50
    return [*found, *(("POST", path) for path in RELAYED)]


@pytest.mark.parametrize("rule", ODD)
async def test_each_route_names_the_field_and_the_rule(admin, taking_json, rule):
    for method, path in taking_json:
        answer = await admin.request(method, path, content=b'{"name": {"a": [1, %s]}}' % ODD[rule])
        assert answer.status_code == 400, (method, path, answer.text)
        assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
        assert answer.json()["message"] == f"name.a.1: {said(rule)}."


def said(rule):
    verb = {"half of a surrogate pair": "must be Unicode, but holds", "the character NUL": "must not hold"}
    return f"{verb.get(rule, 'must be')} {rule}"


async def test_each_route_refuses_bodies_without_end(admin, taking_json):
    for method, path in taking_json:
        for content in (b"[" * 10_000, b'{"name": ' * 300 + b"1" + b"}" * 300, b'{"name": "\xff"}'):
            answer = await admin.request(method, path, content=content)
            assert (answer.status_code, answer.json()["error_code"]) == (400, "MALFORMED_REQUEST"), (method, path)


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/serving-endpoints/a%00b",
        "/api/2.0/preview/scim/v2/Users/%00",
        "/api/2.0/permissions/serving-endpoints/%00",
        "/api/2.1/unity-catalog/catalogs/%00",
        "/api/2.1/unity-catalog/models?catalog_name=%00",
        "/api/2.0/secrets/get?scope=a&key=%00",
        "/api/2.0/audit-logs?principal=%00",
        "/serving-endpoints/batches/%00",
        "/serving-endpoints/files?after=%00",
        "/api/2.0/fs/files/Models/a/b/c/1/%00",
    ],
)
async def test_addresses_hold_no_nul(admin, path):
    answer = await admin.get(path)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert "NUL" in answer.json()["message"]


def token(key):
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/2.1/unity-catalog/catalogs", {"page_token": token("\ud800")}),
        ("/api/2.0/audit-logs", {"page_token": token("a\0")}),
        ("/api/2.0/mlflow/unity-catalog/model-versions/search", {"page_token": token(["a.b.c", 2**40])}),
        ("/api/2.0/mlflow/unity-catalog/model-versions/search", {"page_token": token(["a.b.\ud800", 1])}),
        ("/api/2.0/audit-logs", {"start_time": 2**63}),
        ("/api/2.0/audit-logs", {"end_time": "9" * 5000}),
        ("/api/2.1/unity-catalog/models", {"max_results": "9" * 5000}),
    ],
)
async def test_queries_that_no_database_takes_are_refused_by_name(admin, path, query):
    answer = await admin.get(path, params=query)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), answer.text
    assert next(iter(query)) in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/2.0/token/create", {"lifetime_seconds": 2**62}, "lifetime_seconds"),
        ("/api/2.0/token/create", {"lifetime_seconds": "9" * 30}, "lifetime_seconds"),
        ("/api/2.0/token/create", {"comment": "c" * 1025}, "comment"),
        ("/api/2.1/unity-catalog/catalogs", {"name": "c", "comment": "c" * 70_000}, "comment"),
        (
            "/api/2.0/mlflow/unity-catalog/registered-models/create",
            {"name": ".".join(["\U00020000" * 255] * 3)},
            "name",
        ),
        ("/api/2.0/preview/scim/v2/Users", {"userName": "u" * 256}, "userName"),
        ("/api/2.0/preview/scim/v2/Groups", {"displayName": "u" * 256}, "displayName"),
        ("/api/2.0/secrets/scopes/create", {"scope": "s" * 129}, "scope"),
        ("/api/2.0/serving-endpoints", {"name": "e", "description": "d" * 1001}, "description"),
        ("/api/2.0/serving-endpoints", {"name": "e", "tags": [{"key": "k" * 257}]}, "tag"),
        (
            "/api/2.0/serving-endpoints",
            {"name": "e", "telemetry_config": {"telemetry_profile_id": "p" * 768}},
            "telemetry_profile_id",
        ),
    ],
)
async def test_what_is_too_long_or_too_large_is_refused_by_name(admin, path, body, field):
    answer = await admin.post(path, json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), answer.text
    assert field in answer.json()["message"]


async def test_sizes_of_served_entities_end_somewhere(admin):
    entity = {"entity_name": "a.b.c", "entity_version": "1", "min_provisioned_throughput": 0}
    for large in (2**60, str(10**400)):
        body = {"name": "e", "config": {"served_entities": [{**entity, "max_provisioned_throughput": large}]}}
        answer = await admin.post("/api/2.0/serving-endpoints", json=body)
        assert answer.status_code in (400, 404)
        assert "max_provisioned_throughput" in answer.json()["message"]


async def test_a_secrets_value_may_be_any_bytes(admin):
    await admin.post("/api/2.0/secrets/scopes/create", json={"scope": "s"})
    any_bytes = {"scope": "s", "key": "k", "bytes_value": base64.b64encode(b"a\0\xff").decode()}
    assert (await admin.post("/api/2.0/secrets/put", json=any_bytes)).status_code == 200


@pytest.mark.parametrize("date", ["Mon, 20 Nov 1995 19:12:08 +99999999999999", "x", "Mon, 20 Nov 99999 19:12:08 GMT"])
async def test_dates_that_are_none_are_read_over(admin, date):
    model = {"name": "main.default.guide"}
    await admin.post("/api/2.0/mlflow/unity-catalog/registered-models/create", json=model)
    await admin.post("/api/2.0/mlflow/unity-catalog/model-versions/create", json={**model, "source": "x"})
    path = "/api/2.0/fs/files/Models/main/default/guide/1/a.txt"
    await admin.put(path, content=b"abc")
    assert (await admin.get(path, headers={"if-unmodified-since": date})).status_code == 200


async def test_hosts_and_origins_that_are_none_break_nothing(admin):
    assert (await admin.get("/api/2.0/none", headers={"host": "["})).status_code == 404
    answer = await admin.post("/ml/graphql", json={}, headers={"origin": "http://["})
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")


async def test_credentials_of_clients_hold_no_nul(anonymous):
    form = {"grant_type": "client_credentials", "client_id": "a\0", "client_secret": "b"}
    answer = await anonymous.post("/oidc/v1/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
