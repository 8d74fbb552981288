"""The marketplace's routes, and the command that uses them."""

import json
import struct

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
