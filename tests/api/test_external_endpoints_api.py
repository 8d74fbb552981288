"""Endpoints with external models over HTTP: made, shown, changed, and refused."""

import json

import pytest

from penstock.domain.errors import AlreadyExists
from penstock.testing.serving import add_model

ROOT = "/api/2.0/serving-endpoints"
REF = "{{secrets/llm/key}}"
PLAIN = "sk-planted-1234"
PALM = {
    "name": "chat-bison",
    "provider": "palm",
    "task": "llm/v1/chat",
    "palm_config": {"palm_api_key": REF},
}
HERE = {
    "served_entities": [
        {
            "entity_name": "main.default.guide",
            "entity_version": 1,
            "min_provisioned_throughput": 0,
            "max_provisioned_throughput": 9,
        }
    ]
}


def model(name="gpt-4o", **config):
    return {
        "name": name,
        "provider": "openai",
        "task": "llm/v1/chat",
        "openai_config": config or {"openai_api_key": REF},
    }


def entity(name="gpt-4o", served=None, **config):
    return {"external_model": model(name, **config)} | ({"name": served} if served else {})


def body(*entities, name="talk", routes=None, **more):
    config = {"served_entities": list(entities or [entity()])}
    if routes:
        config["traffic_config"] = {
            "routes": [{"served_entity_name": one, "traffic_percentage": share} for one, share in routes.items()]
        }
    return {"name": name, "config": config, **more}


@pytest.fixture
async def secret(admin):
    await admin.post("/api/2.0/secrets/scopes/create", json={"scope": "llm"})
    await admin.post("/api/2.0/secrets/put", json={"scope": "llm", "key": "key", "string_value": "sk-kept-1"})


async def test_an_endpoint_is_ready_at_once_and_says_what_it_was_asked_for(admin, world, secret):
    answer = await admin.post(ROOT, json=body(tags=[{"key": "team", "value": "water"}]))
    made = answer.json()
    assert answer.status_code == 200, made
    assert made["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    assert (made["task"], made["endpoint_type"]) == ("llm/v1/chat", "EXTERNAL_MODEL")
    assert "pending_config" not in made
    config = made["config"]
    assert config["config_version"] == 1
    assert config["served_entities"] == [
        {
            "name": "gpt-4o",
            "external_model": model(),
            "creator": "admin@x.org",
            "creation_timestamp": made["creation_timestamp"],
            "state": {"deployment": "DEPLOYMENT_READY", "deployment_state_message": ""},
        }
    ]
    assert config["served_models"] == config["served_entities"]
    assert config["traffic_config"]["routes"] == [
        {"served_model_name": "gpt-4o", "served_entity_name": "gpt-4o", "traffic_percentage": 100}
    ]
    route = world.table.of("talk")
    assert route.is_external, "the data plane knew it before the answer went out"
    assert (await admin.get(f"{ROOT}/talk")).json() == made
    [listed] = (await admin.get(ROOT)).json()["endpoints"]
    assert listed["config"]["served_entities"] == [{"name": "gpt-4o", "external_model": model()}]
    assert (await admin.delete(f"{ROOT}/talk")).json() == {}
    assert not world.table.now


async def test_a_key_that_was_given_itself_is_never_told_again(admin, world, store, secrets):
    given = entity(openai_api_key_plaintext=PLAIN, openai_organization="o")
    made = (await admin.post(ROOT, json=body(given))).json()
    answers = [made, (await admin.get(f"{ROOT}/talk")).json(), (await admin.get(ROOT)).json()]
    scopes = (await admin.get("/api/2.0/secrets/scopes/list")).json()
    assert PLAIN not in json.dumps([answers, scopes])
    assert made["config"]["served_entities"][0]["external_model"]["openai_config"] == {"openai_organization": "o"}
    [served] = world.table.of("talk").entities
    [ref] = served.external.model.refs.values()
    assert ref.own
    assert (await secrets.resolve_as(ref, "admin@x.org")).reveal() == PLAIN
    replaced = (
        await admin.put(f"{ROOT}/talk/config", json=body(entity(openai_api_key_plaintext="sk-2"))["config"])
    ).json()
    assert replaced["config"]["config_version"] == 2
    async with store.unit() as unit:
        assert await unit.secrets.get(ref) is None, "nothing refers to it any more"
    await admin.delete(f"{ROOT}/talk")
    async with store.unit() as unit:
        assert not await unit.secrets.key_ids()


async def test_an_endpoint_that_comes_to_nothing_leaves_no_secret(admin, store, monkeypatch):
    async def taken(_rows, _endpoint):
        raise AlreadyExists("Somebody was quicker.")

    monkeypatch.setattr("penstock.testing.endpoint_rows.FakeEndpointRows.add", taken)
    answer = await admin.post(ROOT, json=body(entity(openai_api_key_plaintext=PLAIN)))
    assert (answer.status_code, answer.json()["message"]) == (409, "Somebody was quicker.")
    async with store.unit() as unit:
        assert not await unit.secrets.key_ids()


async def test_keys_are_stored_all_or_none(admin, store):
    two = (entity(openai_api_key_plaintext=PLAIN), entity(served="other", openai_api_key_plaintext="x" * 200_000))
    answer = await admin.post(ROOT, json=body(*two, routes={"gpt-4o": 50, "other": 50}))
    assert answer.status_code == 400
    async with store.unit() as unit:
        assert not await unit.secrets.key_ids()


async def test_zeros_beside_an_external_model_are_as_if_not_given(admin, secret):
    zeros = {"min_provisioned_throughput": 0, "max_provisioned_throughput": 0, "scale_to_zero_enabled": False}
    assert (await admin.post(ROOT, json=body(entity() | zeros | {"workload_size": ""}))).status_code == 200


@pytest.mark.parametrize(
    ("entities", "word"),
    [
        ([entity() | {"max_provisioned_throughput": 10}], "max_provisioned_throughput: provisioned throughput is not"),
        ([entity() | {"provisioned_model_units": 50}], "provisioned_model_units"),
        ([entity() | {"workload_size": "Small"}], "workload_size"),
        ([entity() | {"entity_name": "main.default.guide"}], "entity_name"),
        ([entity(), {"entity_name": "main.default.guide", "entity_version": 1}], "cannot be in one endpoint"),
        ([entity(), entity()], "names must be unique"),
        ([entity(), entity(served="other")], "traffic_config.routes is required"),
        ([entity(openai_api_key="{{secrets/llm/none}}")], "Secret does not exist with scope: llm and key: none"),
        ([entity(openai_api_key="{{secrets/none/key}}")], "none"),
        ([entity(openai_api_key=PLAIN)], "openai_config.openai_api_key must refer to a secret"),
        ([{"external_model": {}}], "external_model.name must be given"),
        ([{"external_model": {**model(), "openai_config": PLAIN}}], "external_model.openai_config must be an object"),
        ([{"external_model": {**model(), "provider": "palm"}}], "palm_config"),
        ([{"external_model": PALM}], "its API was shut down"),
    ],
)
async def test_what_is_against_a_rule_is_refused_by_name(admin, secret, store, entities, word):
    await add_model(store)
    answer = await admin.post(ROOT, json=body(*entities))
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert word in answer.json()["message"]
    assert PLAIN not in answer.text


async def test_two_tasks_do_not_go_together(admin, secret):
    other = {"name": "e", "external_model": {**model("emb"), "task": "llm/v1/embeddings"}}
    answer = await admin.post(ROOT, json=body(entity(), other, routes={"gpt-4o": 50, "e": 50}))
    assert "must have the same task" in answer.json()["message"]


async def test_a_provider_whose_adapter_is_not_there_is_named(admin, secret, world):
    world.provider.problems["gpt-4o"] = "external_model.provider 'openai' is not supported by this server yet."
    answer = await admin.post(ROOT, json=body())
    assert (answer.status_code, answer.json()["message"]) == (
        400,
        "Served entity 'gpt-4o': external_model.provider 'openai' is not supported by this server yet.",
    )


async def test_who_may_not_read_a_secret_may_not_use_it(user, admin, secret):
    answer = await user.post(ROOT, json=body())
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    await admin.post(
        "/api/2.0/secrets/acls/put", json={"scope": "llm", "principal": "user@x.org", "permission": "READ"}
    )
    assert (await user.post(ROOT, json=body())).status_code == 200


async def test_an_update_takes_effect_at_once_and_may_not_change_the_kind(admin, world, secret, store):
    await add_model(store)
    await admin.post(ROOT, json=body())
    two = body(entity(), entity(served="other"), routes={"gpt-4o": 40, "other": 60})["config"]
    changed = (await admin.put(f"{ROOT}/talk/config", json=two | {"name": "chat"})).json()
    assert changed["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    assert changed["config"]["config_version"] == 2
    assert [one.name for one in world.table.of("talk").entities] == ["gpt-4o", "other"]
    shares = {"routes": [{"served_model_name": "other", "traffic_percentage": "100"}]}
    changed = (await admin.put(f"{ROOT}/talk/config", json={"traffic_config": shares})).json()
    assert [one["name"] for one in changed["config"]["served_entities"]] == ["gpt-4o", "other"]
    assert [route.percentage for route in world.table.of("talk").routes] == [100]
    answer = await admin.put(f"{ROOT}/talk/config", json=HERE)
    assert (answer.status_code, "cannot be replaced" in answer.json()["message"]) == (400, True)
    assert (await admin.post(ROOT, json={"name": "here", "config": HERE})).status_code == 200
    await admin.post(f"{ROOT}/here/config:cancel")
    [here] = [one for one in (await admin.get(ROOT)).json()["endpoints"] if one["name"] == "here"]
    await world.reconciler.step(here["id"])
    answer = await admin.put(f"{ROOT}/here/config", json=body()["config"])
    assert (answer.status_code, "cannot be added" in answer.json()["message"]) == (400, True)


async def test_fallback_is_for_external_models_and_replaced_as_a_whole(admin, world, secret, store):
    await add_model(store)
    on = {"fallback_config": {"enabled": True}}
    made = (await admin.post(ROOT, json=body(ai_gateway=on))).json()
    assert made["ai_gateway"] == on
    assert world.table.of("talk").fallback
    assert (await admin.put(f"{ROOT}/talk/ai-gateway", json={})).json() == {}
    assert not world.table.of("talk").fallback
    assert (await admin.put(f"{ROOT}/talk/ai-gateway", json=on)).json() == on
    assert world.table.of("talk").fallback
    for wrong in ({"guardrails": {"input": {"safety": True}}}, {"usage_tracking_config": {"enabled": True}}):
        answer = await admin.put(f"{ROOT}/talk/ai-gateway", json=wrong)
        assert (answer.status_code, next(iter(wrong)) in answer.json()["message"]) == (400, True)
    answer = await admin.post(ROOT, json={"name": "here", "config": HERE, "ai_gateway": on})
    assert (answer.status_code, "fallback_config" in answer.json()["message"]) == (400, True)


async def test_logs_of_an_external_model_are_its_providers(admin, secret):
    await admin.post(ROOT, json=body())
    for kind in ("logs", "build-logs"):
        answer = await admin.get(f"{ROOT}/talk/served-models/gpt-4o/{kind}")
        assert (answer.status_code, "external model" in answer.json()["message"]) == (400, True)
    assert (await admin.get(f"{ROOT}/talk/served-models/none/logs")).status_code == 404
