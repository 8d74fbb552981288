"""The marketplace's routes, and the command that uses them."""

import json
import re
import struct

import pytest

from penstock.cli import marketplace_run
from penstock.domain.errors import InvalidParameter, PenstockError

BASE = "/api/2.0/marketplace"
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "intermediate_size": 16,
    "vocab_size": 32,
    "max_position_embeddings": 64,
}
TENSOR = json.dumps({"w": {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}}).encode()
FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "tokenizer.json": b"{}",
    "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}"}).encode(),
    "model.safetensors": struct.pack("<Q", len(TENSOR)) + TENSOR + bytes(256),
    "README.md": b"# Tiny\n",
}
WISH = {
    "repository": "org/tiny",
    "catalog_name": "main",
    "schema_name": "default",
    "model_name": "mine",
    "task": "chat",
}


async def test_search_page_and_installation(user, hub):
    hub.add("org/tiny", FILES, family="llama", licence="mit", parameters=64)
    found = (await user.get(f"{BASE}/models", params={"search": "tiny", "family": "llama", "task": "chat"})).json()
    assert [one["repository"] for one in found["models"]] == ["org/tiny"]
    assert found["problems"] == []
    page = (await user.get(f"{BASE}/models/org/tiny")).json()
    assert (page["servable"], page["card"], page["licence"]) == (True, "# Tiny\n", "mit")
    assert page["forecast"]["fits"] is True
    assert page["forecast"]["estimated"] is True
    begun = (await user.post(f"{BASE}/installs", json=WISH)).json()
    assert (begun["state"], begun["full_name"]) == ("RUNNING", "main.default.mine")
    done = begun
    while done["state"] == "RUNNING":
        done = (await user.get(f"{BASE}/installs/{begun['id']}")).json()
    assert (done["state"], done["version"], done["downloaded"]) == ("DONE", 1, done["size"])
    info = (await user.get("/api/2.0/serving-endpoints/get-model-optimization-info/main.default.mine/1")).json()
    assert info["optimizable"] is True
    assert len((await user.get(f"{BASE}/installs")).json()["installs"]) == 1
    for what in ("cancel", "resume"):
        assert (await user.post(f"{BASE}/installs/{begun['id']}/{what}")).status_code == 409
    assert (await user.delete(f"{BASE}/installs/{begun['id']}")).json() == {}
    assert (await user.get(f"{BASE}/installs/{begun['id']}")).status_code == 404


async def test_what_is_asked_wrongly_is_named(user, hub):
    assert "task must be one of" in (await user.get(f"{BASE}/models?task=poetry")).json()["message"]
    assert "limit must be 1 to 100" in (await user.get(f"{BASE}/models?limit=0")).json()["message"]
    answer = await user.post(f"{BASE}/installs", json={**WISH, "catalog_name": "system"})
    assert (answer.status_code, "the system's own" in answer.json()["message"]) == (403, True)
    assert (await user.get(f"{BASE}/models/org/none")).status_code == 404


class Wired:
    """The command's server, without a network."""

    def __init__(self, client):
        self.client = client

    async def ask(self, method, path, **more):
        answer = await self.client.request(method, BASE + path, **more)
        if answer.status_code >= 400:
            raise PenstockError(answer.json()["message"])
        return answer.json()


async def test_the_command(user, hub, capsys, monkeypatch):
    monkeypatch.setattr(marketplace_run, "LOOK_S", 0)
    monkeypatch.setenv("COLUMNS", "200")
    hub.add("org/tiny", FILES, family="llama", licence="mit", parameters=64_000_000, downloads=1234)
    server = Wired(user)
    assert await marketplace_run.search_all(server, {"search": "tiny", "family": "", "limit": 5}) == 0
    assert re.search(r"org/tiny .*llama .*mit .*64 M .*1,234 ", capsys.readouterr().out)
    assert await marketplace_run.search_all(server, {"search": "nowhere"}) == 0
    assert capsys.readouterr().out.endswith("\nNothing was found.\n")
    with pytest.raises(InvalidParameter, match="'tiny' is not a repository's name: OWNER/NAME"):
        await marketplace_run.show_one(server, "tiny", "main", "", card=False)
    assert await marketplace_run.show_one(server, "org/tiny", "main", "", card=True) == 0
    said = capsys.readouterr().out
    assert "It fits: a replica needs" in said
    assert "# Tiny" in said
    assert await marketplace_run.install_one(server, WISH, detach=False) == 0
    assert "main.default.mine/1 is there." in capsys.readouterr().out
    assert await marketplace_run.list_all(server) == 0
    (install,) = (await server.ask("GET", "/installs"))["installs"]
    assert re.search(rf"{install['id']}  DONE +org/tiny to main\.default\.mine/1 ", capsys.readouterr().out)
    hub.gated.add("org/tiny")
    assert await marketplace_run.show_one(server, "org/tiny", "main", "", card=False) == 1
    assert "Accept the licence of org/tiny first." in capsys.readouterr().out
    assert await marketplace_run.install_one(server, WISH, detach=False) == 1
    assert "Accept the licence" in capsys.readouterr().err
    (failed,) = [one for one in (await server.ask("GET", "/installs"))["installs"] if one["state"] == "FAILED"]
    hub.gated.clear()
    assert await marketplace_run.resume_one(server, failed["id"]) == 0
    assert "main.default.mine/2 is there." in capsys.readouterr().out
    with pytest.raises(PenstockError, match="does not run"):
        await marketplace_run.change(server, failed["id"], "cancel")
    hub.add("org/mamba", {**FILES, "config.json": b'{"model_type": "mamba"}'})
    assert await marketplace_run.show_one(server, "org/mamba", "main", "", card=False) == 0
    assert "It cannot be served here: Models of type 'mamba'" in capsys.readouterr().out
