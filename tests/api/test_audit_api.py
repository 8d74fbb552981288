"""Who did what: every route that changes something writes an entry, and nothing of a body is in it but names."""

import json
import re

import httpx
import pytest
from typer.testing import CliRunner

from penstock.cli.audit_table import table
from penstock.cli.main import app
from penstock.domain.audit_entry import READS

PATH = "/api/2.0/audit-logs"


@pytest.fixture
def entries(admin):
    async def read(**query):
        answer = await admin.get(PATH, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["audit_logs"]

    return read


def of_control_plane(site):
    plain = {(route.method, route.path) for route in site._data_plane.routes}
    return [route for route in site.routes if (route.method, route.path) not in plain]


@pytest.mark.parametrize("token", [None, "dapi-user-token", "dapi-admin-token"])
async def test_every_route_that_changes_something_writes_one_entry(site, entries, token):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    changes = [route for route in of_control_plane(site) if route.method not in READS]
    assert len(changes) > 50
    transport = httpx.ASGITransport(app=site, client=("10.0.0.7", 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://penstock", headers=headers) as client:
        for number, route in enumerate(changes):
            path = re.sub(r"\{[^}]*\}", "x", route.path)
            answer = await client.request(route.method, path, headers={"x-request-id": f"call-{number}"})
            [entry] = await entries(request_id=f"call-{number}")
            assert entry["action"] == f"{route.method} {route.path.rstrip('/')}"
            assert entry["status_code"] == answer.status_code
            assert entry["source_ip_address"] == "10.0.0.7"
            if answer.status_code >= 400 and "error_code" in answer.text:
                assert entry["error_code"] == answer.json()["error_code"]


async def test_reads_are_kept_only_if_they_are_refused(site, entries, anonymous, user, admin):
    await user.get("/api/2.0/token/list")
    await anonymous.get("/health/live")
    assert await entries() == []
    await anonymous.get("/api/2.0/token/list")
    await user.get(PATH)
    refused = await entries(result="refused")
    assert [(one["principal"], one["status_code"]) for one in refused] == [("user@x.org", 403), ("", 401)]
    assert refused[0]["token_id"] == "token-user"


async def test_an_entry_says_who_what_from_where_and_with_what_result(entries, user):
    headers = {"user-agent": "sdk\x7f/1", "x-forwarded-for": "9.9.9.9"}
    body = {"scope": "team", "key": "openai", "string_value": "sk-planted"}
    await user.post("/api/2.0/secrets/put", json=body, headers=headers)
    [entry] = await entries(object_type="secrets")
    assert entry["object_name"] == "team/openai"
    assert (entry["user_agent"], entry["forwarded_for"]) == ("sdk?/1", "9.9.9.9")
    assert (entry["principal"], entry["result"], entry["status_code"]) == ("user@x.org", "failed", 404)
    assert entry["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert "sk-planted" not in json.dumps(entry)


async def test_bodies_that_are_none_and_crashes_are_entries_too(entries, user):
    await user.post("/api/2.0/secrets/put", content=b"\xff{")
    await user.post("/api/2.0/secrets/put", json={"scope": ["x"], "key": {"a": 1}})
    assert [one["object_name"] for one in await entries()] == ["", ""]


async def test_pages(entries, user, admin):
    for number in range(5):
        await user.post("/api/2.0/secrets/scopes/create", json={"scope": f"s{number}"})
    first = (await admin.get(PATH, params={"max_results": 3})).json()
    rest = (await admin.get(PATH, params={"max_results": 3, "page_token": first["next_page_token"]})).json()
    assert [one["object_name"] for one in first["audit_logs"] + rest["audit_logs"]] == ["s4", "s3", "s2", "s1", "s0"]
    assert rest["next_page_token"] == ""
    wrong = await admin.get(PATH, params={"result": "x"})
    assert wrong.status_code == 400


async def test_a_full_log_holds_changes_back_and_lets_reads_pass(parts, user):
    parts.audit._most = 0
    before = (await user.get("/api/2.0/token/list")).json()
    answer = await user.post("/api/2.0/token/create", json={})
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert (await user.get("/api/2.0/token/list")).json() == before


def test_the_command_tells_entries_oldest_first():
    one = {
        "timestamp": 0, "principal": "", "action": "POST /x", "object_name": "n", "status_code": 401,
        "error_code": "UNAUTHENTICATED", "source_ip_address": "::1",
    }  # fmt: skip
    assert table([one | {"timestamp": 1000, "error_code": "", "status_code": 200, "principal": "ann"}, one]) == (
        "1970-01-01 00:00:00  -  POST /x  n  401 UNAUTHENTICATED  ::1\n"
        "1970-01-01 00:00:01  ann  POST /x  n  200 OK  ::1"
    )
    assert table([]) == "Nothing was done."


@pytest.mark.parametrize(("options", "status"), [([], 1), (["--from", "soon"], 2)])
def test_the_command_tells_what_is_wrong(options, status):
    done = CliRunner().invoke(app, ["audit", "--url", "http://127.0.0.1:9", "--token", "t", *options])
    assert done.exit_code == status
