"""What has broken real clients of external models, by the number of the trap in docs/conformance.md."""

import pytest

ROOT = "/api/2.0/serving-endpoints"
REF = "{{secrets/llm/key}}"
PLAIN = "sk-planted-9876"


def body(**more):
    config = {"openai_api_key": REF, **more.pop("config", {})}
    model = {"name": "gpt-4o", "provider": "openai", "task": "llm/v1/chat", "openai_config": config}
    entity = {"name": "gpt", "external_model": model, **more.pop("entity", {})}
    return {"name": "talk", "config": {"served_entities": [entity]}, **more}


@pytest.fixture(autouse=True)
async def secret(admin):
    await admin.post("/api/2.0/secrets/scopes/create", json={"scope": "llm"})
    await admin.post("/api/2.0/secrets/put", json={"scope": "llm", "key": "key", "string_value": "sk-kept"})


async def test_trap_19_references_are_echoed_and_keys_never(admin):
    made = await admin.post(ROOT, json=body())
    shown = made.json()["config"]["served_entities"][0]["external_model"]["openai_config"]
    assert shown == {"openai_api_key": REF}
    plain = body(config={"openai_api_key": None, "openai_api_key_plaintext": PLAIN})
    update = await admin.put(f"{ROOT}/talk/config", json=plain["config"])
    assert update.status_code == 200
    for answer in (update, await admin.get(f"{ROOT}/talk"), await admin.get(ROOT)):
        assert PLAIN not in answer.text
        assert "openai_api_key_plaintext" not in answer.text


@pytest.mark.parametrize(
    "field", ["min_provisioned_throughput", "max_provisioned_throughput", "provisioned_model_units", "workload_size"]
)
async def test_trap_27_sizes_beside_an_external_model_are_refused_and_zeros_are_none(admin, field):
    size = "Small" if field == "workload_size" else 10
    refused = await admin.post(ROOT, json=body(entity={field: size}))
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert field in refused.json()["message"]
    zero = {} if field == "workload_size" else {field: 0}
    assert (await admin.post(ROOT, json=body(entity=zero))).status_code == 200


async def test_what_runs_elsewhere_is_not_stopped_and_has_no_telemetry(admin, world):
    told = {"on_update_success": ["a@x.org"]}
    telemetry = {"telemetry_profile_id": "p"}
    made = await admin.post(ROOT, json=body(email_notifications=told, telemetry_config=telemetry))
    assert "telemetry_config" not in made.json()
    assert (await admin.post(f"{ROOT}/talk/config:stop")).status_code == 400
    patched = await admin.patch(f"{ROOT}/talk/telemetry-config", json={"telemetry_config": telemetry})
    assert (patched.status_code, patched.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    await admin.put(f"{ROOT}/talk/config", json=body()["config"])
    await world.notices.step()
    assert [letter.subject.split(": ")[1] for letter in world.mailer.letters] == [
        "config version 1 is served",
        "config version 2 is served",
    ]
