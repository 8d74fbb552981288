"""What the routes of endpoints tell of LoRA adapters."""

from penstock.testing.serving import add_model

ROOT = "/api/2.0/serving-endpoints"
GUIDE, LEGAL = "main.default.guide", "main.default.legal"
SIZE = {"min_provisioned_throughput": 0, "max_provisioned_throughput": 30}


async def test_the_base_of_an_adapter_is_told_with_its_endpoint_and_its_chunks(admin, store):
    await add_model(store, GUIDE)
    await add_model(store, LEGAL, base=GUIDE)
    told = {}
    for name, model in (("guide", GUIDE), ("legal", LEGAL)):
        served = {"entity_name": model, "entity_version": "1", **SIZE}
        made = await admin.post(ROOT, json={"name": name, "config": {"served_entities": [served]}})
        assert made.status_code == 200, made.text
        [shown] = (await admin.get(f"{ROOT}/{name}")).json()["pending_config"]["served_entities"]
        info = (await admin.get(f"{ROOT}/get-model-optimization-info/{model}/1")).json()
        told[name] = (shown.get("base_entity_name"), shown.get("base_entity_version"), info.get("base_model"))
        again = await admin.put(f"{ROOT}/{name}/config", json={"served_entities": [shown]})
        assert again.status_code in {200, 409}, "what is told may be sent back"
    assert told == {"guide": (None, None, None), "legal": (GUIDE, "1", f"{GUIDE}/1")}
