"""The master key of a real server: made, asked of a command, and kept from child processes."""

import base64
import json
import os
import stat
import sys

import pytest
from stand import TOKEN, Stand

BASE = "/api/2.0/secrets"
# Prints what it was told to, and notes what it could have read.
COMMAND = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w')); print(sys.argv[2])"


@pytest.fixture
async def stand(tmp_path):
    made = Stand(tmp_path)
    yield made
    await made.close()


async def put(stand):
    for path, body in (("scopes/create", {}), ("put", {"key": "k", "string_value": "sk-kept"})):
        async with stand.session.post(f"{stand.url}{BASE}/{path}", json={"scope": "s", **body}) as answer:
            assert answer.status == 200, await answer.text()


async def value(stand):
    async with stand.session.get(f"{stand.url}{BASE}/get", params={"scope": "s", "key": "k"}) as answer:
        return base64.b64decode((await answer.json())["value"]).decode()


async def test_without_a_key_one_is_made_once_for_the_servers_user_alone(stand):
    await stand.start()
    await put(stand)
    key = stand.data / "master.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    made = key.read_bytes()
    assert await stand.stop() == 0
    await stand.start()
    assert await value(stand) == "sk-kept"
    assert await stand.stop() == 0
    assert key.read_bytes() == made
    assert made.strip() not in stand.log.read_bytes()


async def test_a_command_gives_the_key_and_no_child_process_gets_our_variables(stand, tmp_path):
    key, seen = base64.b64encode(os.urandom(32)).decode(), tmp_path / "seen.json"
    stand.variables["PENSTOCK_SECRETS_MASTER_KEY_COMMAND"] = f'"{sys.executable}" -c "{COMMAND}" {seen} {key}'
    stand.variables["PENSTOCK_OLD_MASTER_KEY"] = base64.b64encode(os.urandom(32)).decode()
    await stand.start()
    await put(stand)
    assert await value(stand) == "sk-kept"
    inherited = json.loads(seen.read_text())
    assert inherited["PATH"]
    assert not [name for name in inherited if name.startswith("PENSTOCK_")]
    assert TOKEN not in seen.read_text()
    assert await stand.stop() == 0
    assert not (stand.data / "master.key").exists()
    assert key not in stand.log.read_text()


async def test_a_command_that_fails_ends_the_start_with_a_sentence(stand):
    stand.variables["PENSTOCK_SECRETS_MASTER_KEY_COMMAND"] = f'"{sys.executable}" -c "exit(4)"'
    stand._spawn()
    await stand.until(lambda: ended(stand), 40, "the server to give up")
    assert stand.process.returncode == 1
    assert stand.log.read_text().endswith("secrets.master_key_command ended with status 4.\n")


async def ended(stand):
    return stand.process.poll() is not None
