"""Secrets come in by every way there is; then every answer, log line, error, span and byte on the disk is searched for
them.

The database is a real file, and logs are as talkative as they get.
"""

import base64
import io
import json
import logging

import pytest
import structlog
from leak_search import BYTES, MASTER, NEEDLES, PLANTED, STRING, WRONG, Seen, exported, found_in

from penstock.adapters.crypto.master_key import parse_keys
from penstock.adapters.logs import start_logging
from penstock.adapters.store.database import transaction
from penstock.adapters.store.store import SqlStore
from penstock.control.credentials import digest
from penstock.domain.access import ADMINS, USERS, Principal, PrincipalKind, Scope, Token, TokenKind
from penstock.domain.errors import PenstockError
from penstock.domain.secret import SecretRef
from penstock.settings import load

BASE = "/api/2.0/secrets"
PEOPLE = {
    "admin": Principal("1", "admin@x.org", "Admin", PrincipalKind.USER, frozenset({ADMINS, USERS})),
    "user": Principal("2", "user@x.org", "User", PrincipalKind.USER, frozenset({USERS})),
}


@pytest.fixture
async def store(clock, tmp_path):
    made = SqlStore(f"sqlite:///{tmp_path}/penstock.db")
    await made.open()
    async with made.unit() as unit:
        for name, person in PEOPLE.items():
            await unit.access.add_principal(person, clock.now_ms())
            token = Token(f"token-{name}", person.id, TokenKind.PERSONAL, Scope.ALL_APIS, "", clock.now_ms())
            await unit.access.add_token(token, digest(f"dapi-{name}-token"))
    yield made
    await made.close()


@pytest.fixture
def log():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    start_logging("human", "debug", stream)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the client's, which tells whole addresses
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def seen():
    return Seen()


def mistakes():
    """Bodies of put that are refused, each with a secret in it."""
    body = {"scope": "team", "key": "key"}
    yield from (
        {**body, "value": WRONG},
        {**body, "string_value": {"value": WRONG}},
        {**body, "string_value": [WRONG]},
        {**body, "bytes_value": WRONG},
        {**body, "bytes_value": WRONG + "é"},
        {**body, "string_value": WRONG, "bytes_value": base64.b64encode(WRONG.encode()).decode()},
        {**body, "string_value": WRONG * 8000},
        {**body, "string_value": "\ud800" + WRONG},
        {**body, "scope": "none", "string_value": WRONG},
        {**body, "scope": f"{WRONG} {WRONG}", "string_value": WRONG},
        {**body, "key": f"{WRONG} {WRONG}", "string_value": WRONG},
        {"scope": "team", "string_value": WRONG},
        [WRONG],
        WRONG,
    )


async def put_them(user, admin, secrets, seen):
    """The ways in that work, and reading them by those who may."""
    seen.answer(await user.post(f"{BASE}/scopes/create", json={"scope": "team"}))
    values = {
        "string": {"string_value": STRING},
        "bytes": {"bytes_value": base64.b64encode(BYTES.encode() + b"\xff").decode()},
    }
    for key, value in values.items():
        for client in (user, admin):
            answer = await client.post(f"{BASE}/put", json={"scope": "team", "key": key, **value})
            assert seen.answer(answer).json() == {}
    ref = await secrets.plant(PEOPLE["user"], PLANTED)
    for resolved in (SecretRef("team", "string"), ref, ref):
        hidden = await secrets.resolve_as(resolved, "user@x.org")
        seen.texts += [str(hidden), repr([hidden]), f"{hidden!s}", str(resolved), repr(resolved)]
        assert hidden.reveal() in (STRING, PLANTED)
    shown = await user.get(f"{BASE}/get", params={"scope": "team", "key": "string"})
    assert base64.b64decode(shown.json()["value"]).decode() == STRING  # the one answer that has it, and is not kept
    return ref


async def refuse_them(user, admin, secrets, seen):
    """Every refusal there is on the way of a secret."""
    for body in mistakes():
        answer = seen.answer(await user.post(f"{BASE}/put", content=json.dumps(body)))
        assert 400 <= answer.status_code < 500, (body, answer.text)
    for content in (f'{{"scope": "team", "string_value": "{WRONG}', f'"{WRONG}"', WRONG, f"string_value={WRONG}"):
        assert seen.answer(await user.post(f"{BASE}/put", content=content)).status_code == 400
    for text in (WRONG, f"{{{{secrets/team/{WRONG} }}}}", f"{{{{secrets/{WRONG}}}}}"):
        with pytest.raises(PenstockError) as refused:
            SecretRef.parse(text, "openai_api_key")
        seen.error(refused.value)
    for variables in ({"PENSTOCK_MASTER_KEY": MASTER}, {"PENSTOCK_OLD_MASTER_KEY": MASTER}):
        settings = load({}, variables, None)
        seen.texts += [repr(settings), str(settings), settings.model_dump_json()]
        with pytest.raises(PenstockError) as refused:
            parse_keys(MASTER, "PENSTOCK_MASTER_KEY")
        seen.error(refused.value)
    with pytest.raises(PenstockError) as refused:
        await secrets.resolve_as(SecretRef("team", "bytes"), "user@x.org")
    seen.error(refused.value)
    for value in (WRONG * 8000, "\ud800" + WRONG):
        with pytest.raises(PenstockError) as refused:
            await secrets.plant(PEOPLE["user"], value)
        seen.error(refused.value)


async def ask_around(site, user, seen):
    """Every route that answers a GET, and those of secrets with what they need."""
    for route in site.routes:
        if route.method == "GET" and "{" not in route.path:
            seen.answer(await user.get(route.path))
    for path in ("list", "acls/list", "acls/get", "get"):
        for extra in ({}, {"key": "none"}, {"principal": "user@x.org"}):
            seen.answer(await user.get(f"{BASE}/{path}", params={"scope": "team", **extra}))
    await user.get(f"{BASE}/get", params={"scope": "team", "key": WRONG})  # its answer repeats what was asked


async def break_down(user, store, secrets, ref, seen):
    """Faults of ours: a database that lost its table, and what is stored altered."""
    async with transaction(store._engine) as connection:
        await connection.exec_driver_sql("UPDATE secrets SET content = substr(content, 2)")
    assert seen.answer(await user.get(f"{BASE}/get", params={"scope": "team", "key": "string"})).status_code == 500
    async with transaction(store._engine) as connection:
        await connection.exec_driver_sql("DROP TABLE secrets")
    body = {"scope": "team", "key": "string", "string_value": STRING}
    assert seen.answer(await user.post(f"{BASE}/put", json=body)).status_code == 500
    with pytest.raises(Exception, match="no such table") as refused:
        await secrets.plant(PEOPLE["user"], PLANTED)
    seen.error(refused.value)
    assert (await secrets.resolve_as(ref, "user@x.org")).reveal() == PLANTED  # from memory


async def test_nothing_tells_a_secret(site, user, admin, *, secrets, store, log, seen, telemetry, tmp_path):
    ref = await put_them(user, admin, secrets, seen)
    await refuse_them(user, admin, secrets, seen)
    await ask_around(site, user, seen)
    async with transaction(store._engine) as connection:
        for table in ("secrets", "secret_scopes", "secret_acls"):
            rows = (await connection.exec_driver_sql(f"SELECT * FROM {table}")).all()
            assert rows
            seen.texts += [repr(row) for row in rows] + [value for row in rows for value in row if type(value) is bytes]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"penstock.db", "penstock.db-wal"}
    seen.texts += [path.read_bytes() for path in files]
    await break_down(user, store, secrets, ref, seen)
    assert {f"{BASE}/put", f"{BASE}/get"} <= {call.route for call in telemetry.calls}
    seen.texts += await exported(telemetry)
    lines = log.getvalue()
    assert "request failed" in lines
    assert "Traceback" in lines
    assert len(seen.texts) > 150
    assert not found_in(lines)
    for text in seen.texts:
        assert not found_in(text), text


def endpoint(key=PLANTED, **config):
    model = {"name": "m", "provider": "openai", "task": "llm/v1/chat"}
    given = config or {"openai_api_key_plaintext": key}
    return {"name": "talk", "config": {"served_entities": [{"external_model": {**model, "openai_config": given}}]}}


async def test_nothing_tells_the_key_of_an_external_model(user, *, store, log, seen, telemetry, tmp_path):
    path = "/api/2.0/serving-endpoints"
    for wrong in (
        {"openai_api_key": WRONG},
        {"openai_api_key_plaintext": [WRONG]},
        {"openai_api_key_plaintext": {"value": WRONG}},
        {"openai_api_key_plaintext": WRONG, "openai_api_key": "{{secrets/team/key}}"},
        {"openai_api_key_plaintext": WRONG, "openai_api_base": "no address"},
        {"openai_api_key_plaintext": WRONG, "databricks_api_token": WRONG},
        {"openai_api_key_plaintext": WRONG, "openai_api_base": f"https://me:{WRONG}@host"},
        {"openai_api_key_plaintext": WRONG * 10_000},
    ):
        answer = seen.answer(await user.post(path, json=endpoint(**wrong)))
        assert answer.status_code == 400, answer.text
    made = seen.answer(await user.post(path, json=endpoint()))
    assert made.json()["state"]["ready"] == "READY"
    for wrong in (endpoint(WRONG), endpoint(WRONG)["config"]["served_entities"][0]):
        seen.answer(await user.post(path, json=wrong))
    assert seen.answer(await user.put(f"{path}/talk/config", json=endpoint(STRING)["config"])).status_code == 200
    for asked in (f"{path}/talk", path, f"{path}/talk/metrics", f"{path}/talk/throughput"):
        assert seen.answer(await user.get(asked)).status_code == 200
    seen.texts += [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    async with transaction(store._engine) as connection:
        await connection.exec_driver_sql("DROP TABLE endpoint_configs")
    assert seen.answer(await user.put(f"{path}/talk/config", json=endpoint(WRONG)["config"])).status_code == 500
    assert "Traceback" in log.getvalue()
    seen.texts += await exported(telemetry)
    assert not found_in(log.getvalue())
    for text in seen.texts:
        assert not found_in(text), text


@pytest.mark.parametrize("needle", NEEDLES)
@pytest.mark.parametrize(
    "hide", [str, lambda text: text.encode().hex(), lambda text: base64.b64encode(b"ab" + text.encode()).decode()]
)
def test_the_search_would_find_it(needle, hide):
    assert found_in(f'{{"message": "...{hide(needle)}"}}') == {needle}
    assert found_in(f"cut off: {needle[:9]}") == {needle}
    assert not found_in("nothing of the kind")
