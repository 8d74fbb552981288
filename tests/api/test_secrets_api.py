"""Secrets over HTTP: what is answered to whom, and the limits."""

import base64

import pytest

from penstock.domain.secret import (
    MAX_SCOPES,
    MAX_SECRETS,
    MAX_VALUE_BYTES,
    Sealed,
    SecretRecord,
    SecretRef,
    SecretScope,
)

BASE = "/api/2.0/secrets"


async def refused(answer):
    """Status, error code and message of an answer that is being waited for."""
    answer = await answer
    return answer.status_code, answer.json()["error_code"], answer.json()["message"]


@pytest.fixture
async def team(user):
    """A scope of the user's."""
    answer = await user.post(f"{BASE}/scopes/create", json={"scope": "team", "scope_backend_type": "databricks"})
    assert (answer.status_code, answer.json()) == (200, {})
    return "team"


async def test_a_secret_lives(user, team, clock):
    body = {"scope": team, "key": "Key"}
    assert (await user.post(f"{BASE}/put", json={**body, "string_value": "sk-é"})).json() == {}
    listed = (await user.get(f"{BASE}/list", params={"scope": team})).json()
    assert listed == {"secrets": [{"key": "Key", "last_updated_timestamp": clock.now_ms()}]}
    found = (await user.get(f"{BASE}/get", params={"scope": team, "key": "kEY"})).json()
    assert found == {"key": "Key", "value": base64.b64encode("sk-é".encode()).decode()}
    assert (await user.post(f"{BASE}/delete", json=body)).json() == {}
    assert await refused(user.post(f"{BASE}/delete", json=body)) == (
        404, "RESOURCE_DOES_NOT_EXIST", "Secret does not exist with scope: team and key: Key",
    )  # fmt: skip
    assert (await user.get(f"{BASE}/list", params={"scope": team})).json() == {"secrets": []}


async def test_scopes_are_listed_for_everybody_and_what_was_planted_is_not(user, admin, team, secrets, store):
    async with store.unit() as unit:
        owner = await unit.access.principal("1")
    ref = await secrets.plant(owner, "sk-1")
    for client in (user, admin):
        listed = (await client.get(f"{BASE}/scopes/list")).json()
        assert listed == {"scopes": [{"name": "team", "backend_type": "DATABRICKS"}]}
    params = {"scope": ref.scope, "key": ref.key}
    for call in (
        admin.get(f"{BASE}/get", params=params),
        admin.get(f"{BASE}/list", params=params),
        admin.get(f"{BASE}/acls/list", params=params),
        admin.post(f"{BASE}/delete", json=params),
        admin.post(f"{BASE}/scopes/delete", json=params),
        admin.post(f"{BASE}/scopes/create", json=params),
        admin.post(f"{BASE}/put", json={**params, "string_value": "mine"}),
        admin.post(f"{BASE}/acls/put", json={**params, "principal": "users", "permission": "READ"}),
    ):
        assert (await refused(call))[:2] == (400, "INVALID_PARAMETER_VALUE")


async def test_administrators_manage_and_others_need_to_be_told(user, admin, team):
    await admin.post(f"{BASE}/scopes/create", json={"scope": "admins-own"})
    own = {"scope": "admins-own", "key": "k"}
    for wanted, call in {
        "READ": user.get(f"{BASE}/get", params=own),
        "READ ": user.get(f"{BASE}/list", params=own),
        "WRITE": user.post(f"{BASE}/put", json={**own, "string_value": "v"}),
        "WRITE ": user.post(f"{BASE}/delete", json=own),
        "MANAGE": user.post(f"{BASE}/scopes/delete", json=own),
        "MANAGE ": user.get(f"{BASE}/acls/list", params=own),
        "MANAGE  ": user.get(f"{BASE}/acls/get", params={**own, "principal": "users"}),
        "MANAGE   ": user.post(f"{BASE}/acls/put", json={**own, "principal": "users", "permission": "READ"}),
        "MANAGE    ": user.post(f"{BASE}/acls/delete", json={**own, "principal": "users"}),
    }.items():
        assert await refused(call) == (
            403, "PERMISSION_DENIED", f"user@x.org does not have {wanted.strip()} permission on scope admins-own.",
        )  # fmt: skip
    body = {"scope": team, "key": "k", "string_value": "by an administrator"}
    assert (await admin.post(f"{BASE}/put", json=body)).status_code == 200
    assert (await admin.post(f"{BASE}/scopes/delete", json={"scope": team})).json() == {}
    assert (await refused(user.get(f"{BASE}/list", params={"scope": team})))[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


async def test_an_acl_has_both_of_the_names_that_clients_read(user, team):
    await user.post(f"{BASE}/acls/put", json={"scope": team, "principal": "users", "permission": "READ"})
    listed = (await user.get(f"{BASE}/acls/list", params={"scope": team})).json()
    assert listed["items"] == listed["acls"] == [
        {"principal": "user@x.org", "permission": "MANAGE"},
        {"principal": "users", "permission": "READ"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "code", "message"),
    [
        ("put", {"key": "k"}, "INVALID_PARAMETER_VALUE", "scope: field required."),
        ("put", {"scope": "team", "key": "k"}, "MALFORMED_REQUEST", "Exactly one of string_value and bytes_value"),
        (
            "put",
            {"scope": "team", "key": "k", "string_value": "a", "bytes_value": "YQ=="},
            "MALFORMED_REQUEST",
            "Exactly one of string_value and bytes_value",
        ),
        ("put", {"scope": "team", "key": "k", "bytes_value": "é"}, "INVALID_PARAMETER_VALUE", "bytes_value must be"),
        ("put", {"scope": "team", "key": "k k", "string_value": "a"}, "INVALID_PARAMETER_VALUE", "key must have"),
        (
            "put",
            {"scope": "team", "key": "k", "string_value": "é" * (MAX_VALUE_BYTES // 2) + "."},
            "INVALID_PARAMETER_VALUE",
            "the secret's value must have at most 131072 bytes, but has 131073.",
        ),
        ("scopes/create", {"scope": ""}, "INVALID_PARAMETER_VALUE", "scope must have 1 to 128"),
        (
            "scopes/create",
            {"scope": "s", "scope_backend_type": "AZURE_KEYVAULT"},
            "INVALID_PARAMETER_VALUE",
            "scope_backend_type AZURE_KEYVAULT is not supported",
        ),
        (
            "scopes/create",
            {"scope": "s", "scope_backend_type": "VAULT"},
            "INVALID_PARAMETER_VALUE",
            "scope_backend_type must be DATABRICKS.",
        ),
        (
            "acls/put",
            {"scope": "team", "principal": "users", "permission": "OWN"},
            "INVALID_PARAMETER_VALUE",
            "permission: input should be 'READ', 'WRITE' or 'MANAGE'.",
        ),
        ("acls/put", {"scope": "team", "principal": "", "permission": "READ"}, "INVALID_PARAMETER_VALUE", "principal"),
    ],
)
async def test_what_is_against_a_rule(user, team, *, path, body, code, message):
    status, told, words = await refused(user.post(f"{BASE}/{path}", json=body))
    assert (status, told) == (400, code)
    assert words.startswith(message)


async def test_a_value_of_the_largest_size_is_kept(user, team):
    value = bytes(range(256)) * (MAX_VALUE_BYTES // 256)
    body = {"scope": team, "key": "k", "bytes_value": base64.b64encode(value).decode()}
    assert (await user.post(f"{BASE}/put", json=body)).status_code == 200
    found = (await user.get(f"{BASE}/get", params={"scope": team, "key": "k"})).json()
    assert base64.b64decode(found["value"]) == value


async def test_a_scope_holds_so_many_secrets_and_no_more(user, team, store):
    async with store.unit() as unit:
        for number in range(MAX_SECRETS):
            await unit.secrets.put(SecretRecord(SecretRef(team, f"k{number}"), Sealed("k", b""), 1))
    one_more = {"scope": team, "key": "one-more", "string_value": "v"}
    assert await refused(user.post(f"{BASE}/put", json=one_more)) == (
        400, "RESOURCE_LIMIT_EXCEEDED", "Scope team has 1000 secrets, which is the limit.",
    )  # fmt: skip
    assert (await user.post(f"{BASE}/put", json={**one_more, "key": "K7"})).status_code == 200
    await user.post(f"{BASE}/delete", json={"scope": team, "key": "k8"})
    assert (await user.post(f"{BASE}/put", json=one_more)).status_code == 200


async def test_there_are_so_many_scopes_and_no_more_whatever_was_planted(user, team, store):
    async with store.unit() as unit:
        for number in range(MAX_SCOPES - 2):
            await unit.secrets.add_scope(SecretScope(f"s{number}", 1))
            await unit.secrets.add_scope(SecretScope(f":{number}", 1))
    assert (await user.post(f"{BASE}/scopes/create", json={"scope": "last"})).status_code == 200
    assert await refused(user.post(f"{BASE}/scopes/create", json={"scope": "one-more"})) == (
        400, "RESOURCE_LIMIT_EXCEEDED", "There are 1000 secret scopes, which is the limit.",
    )  # fmt: skip
