"""What an endpoint has beside its configuration: stop and start, notifications, telemetry, its policy, its limits."""

import pytest
from endpoint_loops import running, settle

from penstock.domain.errors import InvalidRequest, Temporary
from penstock.testing.serving import add_model

ROOT = "/api/2.0/serving-endpoints"
ENTITY = {
    "entity_name": "main.default.guide",
    "entity_version": "1",
    "min_provisioned_throughput": 10,
    "max_provisioned_throughput": 30,
}
BODY = {"name": "one", "config": {"served_entities": [ENTITY]}}


@pytest.fixture(autouse=True)
async def loops(store, world):
    await add_model(store)
    async with running(world):
        yield


@pytest.fixture
async def one(admin, clock):
    assert (await admin.post(ROOT, json=BODY)).status_code == 200
    return await settle(admin, clock)


async def code(answer):
    return answer.status_code, answer.json()["error_code"]


async def test_a_stopped_endpoint_frees_what_it_held_and_starts_as_a_new_version(admin, clock, world, one):
    stopped = (await admin.post(f"{ROOT}/one/config:stop")).json()
    assert stopped["state"] == {"ready": "NOT_READY", "config_update": "NOT_UPDATING", "suspend": "STOPPED"}
    assert stopped["config"]["config_version"] == 1
    [entity] = stopped["config"]["served_entities"]
    assert entity["state"] == {
        "deployment": "DEPLOYMENT_ABORTED",
        "deployment_state_message": "The endpoint is stopped.",
    }
    route = world.table.of("one")
    assert route.entities == ()
    assert "is stopped" in route.problem
    await clock.advance(30)
    assert world.cluster.running() == []
    assert await code(await admin.post(f"{ROOT}/one/config:stop/")) == (400, "BAD_REQUEST")
    started = (await admin.post(f"{ROOT}/one/config:start")).json()
    assert started["state"] == {"ready": "NOT_READY", "config_update": "IN_PROGRESS"}
    assert started["pending_config"]["config_version"] == 2
    assert await code(await admin.post(f"{ROOT}/one/config:start")) == (409, "RESOURCE_CONFLICT")
    assert await code(await admin.post(f"{ROOT}/one/config:stop")) == (409, "RESOURCE_CONFLICT")
    again = await settle(admin, clock)
    assert again["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    assert again["config"]["served_entities"][0]["min_provisioned_throughput"] == 10
    assert world.table.of("one").entities[0].replicas
    assert await code(await admin.post(f"{ROOT}/one/config:start")) == (400, "BAD_REQUEST")


async def test_a_stop_outlives_the_server_and_an_update_starts_too(admin, clock, world, one):
    await admin.post(f"{ROOT}/one/config:stop")
    await clock.advance(30)
    world.server()
    assert (await admin.get(f"{ROOT}/one")).json()["state"]["suspend"] == "STOPPED"
    assert await code(await admin.put(f"{ROOT}/one/config", json={})) == (400, "INVALID_PARAMETER_VALUE")
    answer = await admin.put(f"{ROOT}/one/config", json={"served_entities": [ENTITY]})
    assert "suspend" not in answer.json()["state"]


async def test_a_start_that_fails_leaves_it_stopped(admin, clock, world, one):
    await admin.post(f"{ROOT}/one/config:stop")
    await clock.advance(30)
    await admin.post(f"{ROOT}/one/config:start")
    await admin.post(f"{ROOT}/one/config:cancel")
    state = (await settle(admin, clock))["state"]
    assert state == {"ready": "NOT_READY", "config_update": "UPDATE_CANCELED", "suspend": "STOPPED"}
    assert (await admin.post(f"{ROOT}/one/config:start")).status_code == 200


async def test_a_neighbour_keeps_the_replica_of_a_stopped_endpoint(admin, clock, world, one):
    await admin.post(ROOT, json={**BODY, "name": "two"})
    await settle(admin, clock, "two")
    [before] = world.cluster.running()
    await admin.post(f"{ROOT}/one/config:stop")
    await clock.advance(30)
    assert world.cluster.running() == [before]
    assert world.table.of("two").entities[0].replicas


async def test_what_never_served_is_neither_stopped_nor_started(admin):
    await admin.post(ROOT, json={"name": "bare"})
    for verb in ("stop", "start"):
        assert await code(await admin.post(f"{ROOT}/bare/config:{verb}")) == (400, "BAD_REQUEST")
        assert await code(await admin.post(f"{ROOT}/none/config:{verb}")) == (404, "RESOURCE_DOES_NOT_EXIST")


async def test_only_who_manages_may_change_these(admin, user, one):
    for method, path, body in (
        ("POST", "config:stop", None),
        ("POST", "config:start", None),
        ("PATCH", "notifications", {}),
        ("PATCH", "telemetry-config", {}),
    ):
        answer = await user.request(method, f"{ROOT}/one/{path}", json=body)
        assert await code(answer) == (403, "PERMISSION_DENIED"), path


async def test_who_is_told_of_updates(admin, clock, world, one):
    told = {"on_update_failure": ["a@x.org"], "on_update_success": ["b@x.org", "b@x.org", "c@x.org"]}
    answer = await admin.patch(f"{ROOT}/one/notifications", json={"email_notifications": told})
    kept = {"on_update_failure": ["a@x.org"], "on_update_success": ["b@x.org", "c@x.org"]}
    assert answer.json() == {"name": "one", "email_notifications": kept}
    assert (await admin.get(f"{ROOT}/one")).json()["email_notifications"] == kept
    await admin.put(f"{ROOT}/one/config", json={"served_entities": [{**ENTITY, "max_provisioned_throughput": 40}]})
    await settle(admin, clock)
    await world.notices.step()
    [good] = world.mailer.letters
    assert good.to == ("b@x.org", "c@x.org")
    assert good.subject == "Endpoint one: config version 2 is served"
    assert "wanted by admin@x.org" in good.text
    world.cluster.build_status = 1
    await admin.put(f"{ROOT}/one/config", json={"served_entities": [{**ENTITY, "weight_precision": "bf16"}]})
    assert (await settle(admin, clock))["state"]["config_update"] == "UPDATE_FAILED"
    await world.notices.step()
    assert world.mailer.letters[1].to == ("a@x.org",)
    assert "config version 3 failed" in world.mailer.letters[1].subject
    assert (await admin.patch(f"{ROOT}/one/notifications", json={})).json()["email_notifications"] == {}
    assert "email_notifications" not in (await admin.get(f"{ROOT}/one")).json()


async def test_addresses_at_creation_and_letters_that_cannot_be_sent(admin, clock, world):
    told = {"on_update_success": ["a@x.org"]}
    made = await admin.post(ROOT, json={**BODY, "email_notifications": told})
    assert made.json()["email_notifications"] == told
    world.mailer.failures = [Temporary("away", 1)]
    await settle(admin, clock)
    await world.notices.step()
    assert world.mailer.letters == []
    await clock.advance(61)
    assert await world.notices.step() == "1 notifications sent"
    await admin.post(ROOT, json={**BODY, "name": "two", "email_notifications": told})
    world.mailer.failures = [InvalidRequest("no such mailbox")]
    await settle(admin, clock, "two")
    await world.notices.step()
    await clock.advance(120)
    assert await world.notices.step() == ""
    assert len(world.mailer.letters) == 1


@pytest.mark.parametrize(
    "address", ["nobody", "a b@x.org", "a@", "@x.org", "a@x.org\nBcc: b@x.org", "é" * 250 + "@x.org"]
)
async def test_addresses_that_are_none(admin, one, address):
    body = {"email_notifications": {"on_update_failure": [address]}}
    answer = await admin.patch(f"{ROOT}/one/notifications", json=body)
    assert await code(answer) == (400, "INVALID_PARAMETER_VALUE")
    assert "email_notifications.on_update_failure" in answer.json()["message"]


async def test_telemetry_is_kept_and_shown_without_its_tables(admin, clock, one):
    wanted = {
        "enabled_telemetry_features": ["TELEMETRY_FEATURE_LOGS"],
        "table_names": {"logs_table": "main.default.logs"},
        "telemetry_profile_id": "p1",
    }
    shown = {"enabled_telemetry_features": ["TELEMETRY_FEATURE_LOGS"], "telemetry_profile_id": "p1"}
    answer = await admin.patch(f"{ROOT}/one/telemetry-config", json={"telemetry_config": wanted})
    assert answer.json()["telemetry_config"] == shown
    [listed] = (await admin.get(ROOT)).json()["endpoints"]
    assert listed["telemetry_config"] == shown
    assert answer.json()["config"]["config_version"] == 1
    for empty in ({}, {"telemetry_config": {}}, {"telemetry_config": None}):
        await admin.patch(f"{ROOT}/one/telemetry-config", json={"telemetry_config": wanted})
        answer = await admin.patch(f"{ROOT}/one/telemetry-config", json=empty)
        assert "telemetry_config" not in answer.json()


async def test_telemetry_rules(admin, clock):
    await admin.post(ROOT, json={"name": "bare", "telemetry_config": {"telemetry_profile_id": "p"}})
    assert "telemetry_config" not in (await admin.get(f"{ROOT}/bare")).json()
    wanted = {"telemetry_config": {"telemetry_profile_id": "p"}}
    answer = await admin.patch(f"{ROOT}/bare/telemetry-config", json=wanted)
    assert await code(answer) == (400, "INVALID_PARAMETER_VALUE")
    made = await admin.post(ROOT, json={**BODY, **wanted})
    assert made.json()["telemetry_config"] == {"enabled_telemetry_features": [], "telemetry_profile_id": "p"}
    answer = await admin.patch(f"{ROOT}/one/telemetry-config", json=wanted)
    assert await code(answer) == (409, "RESOURCE_CONFLICT")
    for field, value in (
        ("enabled_telemetry_features", ["LOGS"]),
        ("enabled_telemetry_features", ["TELEMETRY_FEATURE_INFERENCE_TABLE"]),
        ("inference_table_config", {"name": "x"}),
        ("table_names", {"table": "x"}),
    ):
        answer = await admin.patch(f"{ROOT}/one/telemetry-config", json={"telemetry_config": {field: value}})
        assert await code(answer) == (400, "INVALID_PARAMETER_VALUE")
        assert f"telemetry_config.{field}" in answer.json()["message"]


async def test_a_policy_is_shown_in_the_list_only(admin):
    made = (await admin.post(ROOT, json={**BODY, "budget_policy_id": "p-1"})).json()
    assert not {"budget_policy_id", "usage_policy_id"} & set(made)
    [listed] = (await admin.get(ROOT)).json()["endpoints"]
    assert listed["usage_policy_id"] == "p-1"
    both = {**BODY, "name": "two", "budget_policy_id": "p-1", "usage_policy_id": "p-2"}
    assert await code(await admin.post(ROOT, json=both)) == (400, "INVALID_PARAMETER_VALUE")


async def test_as_many_endpoints_and_changes_as_there_may_be(admin, clock, world, one):
    world.bounds._endpoints = 1
    answer = await admin.post(ROOT, json={**BODY, "name": "two"})
    assert await code(answer) == (400, "QUOTA_EXCEEDED")
    assert "serving.max_endpoints" in answer.json()["message"]
    world.bounds._changes = 1
    answer = await admin.put(f"{ROOT}/one/config", json={"served_entities": [ENTITY]})
    assert await code(answer) == (429, "REQUEST_LIMIT_EXCEEDED")
    assert int(answer.headers["retry-after"]) > 0
    await clock.advance(300)
    assert (await admin.put(f"{ROOT}/one/config", json={"served_entities": [ENTITY]})).status_code == 200


async def test_the_description_of_an_endpoint(admin, clock, one):
    answer = await admin.get(f"{ROOT}/one/openapi")
    body = answer.json()
    assert (body["openapi"], body["info"]["title"], body["info"]["version"]) == ("3.1.0", "one", "1")
    assert body["servers"] == [{"url": "http://penstock/serving-endpoints/one"}]
    assert set(body["paths"]) == {"/invocations", "/served-models/guide-1/invocations"}
    schema = body["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["anyOf"][0] == {"$ref": "#/components/schemas/ChatRequest"}
    assert [one["required"] for one in schema["anyOf"][1:]] == [
        ["dataframe_split"],
        ["dataframe_records"],
        ["inputs"],
        ["instances"],
    ]
    await admin.post(f"{ROOT}/one/config:stop")
    answer = await admin.get(f"{ROOT}/one/openapi/")
    assert await code(answer) == (400, "BAD_REQUEST")
    assert "not READY" in answer.json()["message"]
    assert (await admin.get(f"{ROOT}/none/openapi")).status_code == 404


async def test_environment_variables_are_refused_by_name(admin):
    entity = {**ENTITY, "environment_vars": {"HF_TOKEN": "{{secrets/a/b}}"}}
    answer = await admin.post(ROOT, json={"name": "one", "config": {"served_entities": [entity]}})
    assert await code(answer) == (400, "INVALID_PARAMETER_VALUE")
    assert "environment_vars of a served entity has no effect here (HF_TOKEN)" in answer.json()["message"]
    entity["environment_vars"] = {}
    answer = await admin.post(ROOT, json={"name": "one", "config": {"served_entities": [entity]}})
    assert answer.status_code == 200
