"""What has broken real clients of the platform's control plane, by the number of the trap in docs/conformance.md."""

import json
import re

import httpx
import pytest
from endpoint_loops import running, settle

from penstock.domain.endpoint import Config, Endpoint, Outcome
from penstock.domain.model import Task
from penstock.domain.steps import Limits
from penstock.testing.serving import World, add_model

ROOT = "/api/2.0/serving-endpoints"
GUIDE = "main.default.guide"
ENTITY = {
    "entity_name": GUIDE,
    "entity_version": "1",
    "min_provisioned_throughput": 10,
    "max_provisioned_throughput": 30,
}
BODY = {"name": "one", "config": {"served_entities": [ENTITY]}}
OTHER = {"served_entities": [{**ENTITY, "weight_precision": "bf16"}]}
READY = {"READY", "NOT_READY"}
UPDATES = {"NOT_UPDATING", "IN_PROGRESS", "UPDATE_FAILED", "UPDATE_CANCELED"}
RETRIED = (
    "Unexpected error",
    "Please try again later or try a faster operation.",
    "RPC token bucket limit has been exceeded",
    "ClusterNotReadyException",
    "does not have any associated worker environments",
    "There is no worker environment with id",
    "Unknown worker environment",
    "UnknownWorkerEnvironmentException",
)
"""What a message holds that the SDK takes as a reason to try again for five minutes."""


@pytest.fixture
def world(store, clock):
    return World(store, clock, limits=Limits(deploy_timeout_s=90))


@pytest.fixture(autouse=True)
async def loops(store, world):
    await add_model(store)
    async with running(world):
        yield


async def make(client, clock, **more):
    assert (await client.post(ROOT, json={**BODY, **more})).status_code == 200
    return await settle(client, clock, more.get("name", "one"))


async def test_trap_1_paths_with_a_slash_at_their_end_are_served_without_a_redirect(admin):
    made = await admin.post(f"{ROOT}/", json=BODY)
    assert (made.status_code, made.json()["name"]) == (200, "one")
    for path in (f"{ROOT}/", f"{ROOT}/one/", f"{ROOT}/one/metrics/", "/api/2.0/token/list/"):
        assert (await admin.get(path)).status_code == 200, path


async def test_trap_2_deletion_answers_an_object_and_an_empty_list_has_its_key(admin):
    assert (await admin.get(ROOT)).json() == {"endpoints": []}
    await admin.post(ROOT, json=BODY)
    assert (await admin.delete(f"{ROOT}/one")).json() == {}


async def test_trap_3_every_object_has_a_state_of_known_words(admin, clock, world):
    shown = [(await admin.post(ROOT, json=BODY)).json(), (await admin.post(ROOT, json={"name": "bare"})).json()]
    shown.append(await settle(admin, clock))
    world.cluster.build_status = 1
    shown.append(await make(admin, clock, name="broken", config=OTHER))
    shown.append((await admin.post(f"{ROOT}/one/config:stop")).json())
    shown += (await admin.get(ROOT)).json()["endpoints"]
    states = [one["state"] for one in shown]
    assert len(states) == 8
    assert all(state["ready"] in READY and state["config_update"] in UPDATES for state in states)
    assert {state["config_update"] for state in states} == {"IN_PROGRESS", "NOT_UPDATING", "UPDATE_FAILED"}


async def test_trap_4_an_update_is_in_progress_until_it_serves_or_has_failed(admin, clock, world):
    await admin.post(ROOT, json=BODY)
    while (state := (await admin.get(f"{ROOT}/one")).json()["state"])["config_update"] == "IN_PROGRESS":
        assert not any(route.entities for route in world.table.now.values())
        await clock.advance(0.5)
    assert state == {"ready": "READY", "config_update": "NOT_UPDATING"}
    assert world.table.of("one").entities[0].replicas
    world.cluster.build_s = 10**6
    await admin.post(ROOT, json={"name": "slow", "config": OTHER})
    await clock.advance(world.limits.deploy_timeout_s + 60)
    slow = (await admin.get(f"{ROOT}/slow")).json()
    assert slow["state"] == {"ready": "NOT_READY", "config_update": "UPDATE_FAILED"}


async def test_trap_5_what_is_retried_says_when_and_what_lasts_is_not_retried(admin, clock, world, store):
    world.bounds._changes = 1
    await admin.post(ROOT, json={"name": "bare"})
    limited = await admin.post(ROOT, json={"name": "more"})
    assert limited.status_code == 429
    assert re.fullmatch(r"[1-9]\d*", limited.headers["retry-after"])
    store.away = True
    away = await admin.get(f"{ROOT}/bare")
    assert away.status_code == 503
    assert re.fullmatch(r"[1-9]\d*", away.headers["retry-after"])
    store.away = False
    assert (await admin.get(f"{ROOT}/bare/openapi")).status_code == 400, "an endpoint that is not ready"


async def test_trap_6_and_7_errors_are_objects_with_a_code_in_words_and_nothing_that_is_retried(site, admin):
    for route in site.routes:
        path = re.sub(r"\{[^}]*\}", "x", route.path)
        for content in (b"{}", b"[", b'"text"', b'{"name": 5, "config": 5, "tags": 5}'):
            answer = await admin.request(route.method, path, content=content)
            if answer.status_code < 400 or route.method == "HEAD" or path == "/oidc/v1/token":
                continue
            body = answer.json()
            assert isinstance(body, dict), route
            assert re.fullmatch("[A-Z_]+", body["error_code"]), route
            assert "error" not in body or not route.path.startswith("/api/"), route
            assert not [phrase for phrase in RETRIED if phrase in body["message"]], route


@pytest.mark.parametrize(("agent", "form"), [("0.43.0", list), ("0.44.0", dict), ("0.156.0", dict), (None, dict)])
async def test_trap_9_tags_have_the_form_that_the_sdks_version_reads(admin, agent, form):
    await admin.post(ROOT, json=BODY)
    headers = {"user-agent": f"databricks-sdk-py/{agent} python/3.12"} if agent else {}
    answer = await admin.patch(f"{ROOT}/one/tags", json={"add_tags": [{"key": "a"}]}, headers=headers)
    assert isinstance(answer.json(), form)
    tags = answer.json() if form is list else answer.json()["tags"]
    assert tags == [{"key": "a", "value": ""}]


async def test_trap_9_unknown_fields_are_passed_over(admin):
    body = {**BODY, "invented": 1, "config": {"served_entities": [{**ENTITY, "invented": 1}], "invented": {}}}
    assert (await admin.post(ROOT, json=body)).status_code == 200


async def test_trap_13_numbers_and_truth_as_strings_and_a_version_echoed_as_one(admin):
    entities = [
        {
            **ENTITY,
            "name": name,
            "entity_version": 1,
            "scale_to_zero_enabled": "false",
            "max_provisioned_throughput": "30",
        }
        for name in ("a", "b")
    ]
    routes = [{"served_model_name": name, "traffic_percentage": "50"} for name in ("a", "b")]
    config = {"served_entities": entities, "traffic_config": {"routes": routes}}
    answer = (await admin.post(ROOT, json={"name": "one", "config": config})).json()["pending_config"]
    [one, _] = answer["served_entities"]
    assert (one["entity_version"], one["scale_to_zero_enabled"], one["max_provisioned_throughput"]) == ("1", False, 30)
    assert [route["traffic_percentage"] for route in answer["traffic_config"]["routes"]] == [50, 50]


async def test_trap_14_what_clients_send_beside_the_body_they_mean(admin, site, clock):
    config = {"name": "one", **BODY["config"]}
    content = json.dumps({"name": "one", "config": config, "task": "llm/v1/chat"}).encode()
    headers = {"context-type": "text/json"}
    transport = httpx.ASGITransport(app=site)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://penstock", auth=("token", "dapi-admin-token")
    ) as basic:
        made = await basic.post(f"{ROOT}?o=123", content=content, headers=headers)
    assert made.status_code == 200
    await settle(admin, clock)
    path = f"{ROOT}/one/served-models/guide-1/logs"
    with_body = await admin.request("GET", path, content=b'{"config_version": 1}')
    assert with_body.json()["logs"]
    assert (await admin.request("GET", path, content=b'{"config_version": "7"}')).status_code == 404
    assert (await admin.put(f"{ROOT}/one/config", json=config)).status_code == 200


async def test_trap_16_words_of_the_api_are_no_names_and_models_may_have_dots_and_dashes(admin, store):
    words = (
        "pt",
        "get-model-optimization-info",
        "chat",
        "completions",
        "embeddings",
        "responses",
        "anthropic",
        "gemini",
    )
    for word in words:
        assert (await admin.post(ROOT, json={**BODY, "name": word})).status_code == 400, word
    await add_model(store, "ml.llm-catalog.foundation-model")
    info = await admin.get(f"{ROOT}/get-model-optimization-info/ml.llm-catalog.foundation-model/1")
    assert info.json()["optimizable"] is True


async def test_trap_17_permissions_are_by_id_put_replaces_and_patch_merges(admin, user):
    made = (await admin.post(ROOT, json=BODY)).json()
    path = f"/api/2.0/permissions/serving-endpoints/{made['id']}"
    levels = (await admin.get(f"{path}/permissionLevels")).json()["permission_levels"]
    assert {one["permission_level"] for one in levels} == {"CAN_VIEW", "CAN_QUERY", "CAN_MANAGE"}

    async def grant(method, level, **who):
        body = {"access_control_list": [{"permission_level": level, **who}]}
        answer = await admin.request(method, path, json=body)
        assert answer.status_code == 200
        return {one.get("user_name") or one.get("group_name") for one in answer.json()["access_control_list"]}

    assert "user@x.org" in await grant("PATCH", "CAN_QUERY", user_name="user@x.org")
    assert {"user@x.org", "users"} <= await grant("PATCH", "CAN_VIEW", group_name="users")
    assert (await user.get(f"{ROOT}/one")).json()["permission_level"] == "CAN_QUERY"
    assert "user@x.org" not in await grant("PUT", "CAN_VIEW", group_name="users")
    assert (await user.get(f"{ROOT}/one")).json()["permission_level"] == "CAN_VIEW"
    by_name = await admin.get("/api/2.0/permissions/serving-endpoints/one")
    assert by_name.status_code == 404


async def test_trap_18_an_update_in_model_units_is_nested_and_another_flat(admin, clock):
    units = {"entity_name": GUIDE, "entity_version": "1", "provisioned_model_units": 50}
    made = await admin.post(f"{ROOT}/pt", json={"name": "one", "config": {"served_entities": [units]}})
    assert made.json()["pending_config"]["served_entities"][0]["provisioned_model_units"] == 50
    await settle(admin, clock)
    flat = await admin.put(f"{ROOT}/pt/one/config", json={"served_entities": [units]})
    assert (flat.status_code, "config" in flat.json()["message"]) == (400, True)
    nested = await admin.put(f"{ROOT}/pt/one/config", json={"config": {"served_entities": [units]}})
    assert nested.json()["pending_config"]["config_version"] == 2
    await settle(admin, clock)
    again = await admin.put(f"{ROOT}/one/config", json={"served_entities": [ENTITY]})
    assert again.json()["pending_config"]["config_version"] == 3


async def test_trap_20_older_limits_are_taken_at_creation_and_not_shown(admin):
    limits = [{"calls": 100, "key": "endpoint", "renewal_period": "minute"}]
    made = await admin.post(ROOT, json={**BODY, "rate_limits": limits})
    assert made.status_code == 200
    assert "rate_limits" not in made.json()
    assert "rate_limits" not in (await admin.get(f"{ROOT}/one")).json()


async def test_trap_21_what_is_always_echoed_and_what_never_is(admin, clock):
    entity = {**ENTITY, "burst_scaling_enabled": False}
    made = await make(admin, clock, config={"served_entities": [entity]})
    assert (made["description"], made["route_optimized"]) == ("", False)
    [route] = made["config"]["traffic_config"]["routes"]
    assert route == {"served_model_name": "guide-1", "served_entity_name": "guide-1", "traffic_percentage": 100}
    assert "burst_scaling_enabled" not in json.dumps(made)
    told = await make(admin, clock, name="two", description="words", route_optimized=True)
    assert (told["description"], told["route_optimized"]) == ("words", True)


async def test_trap_22_the_callers_level_and_the_task_are_there(admin, user, clock):
    made = await make(admin, clock)
    grants = {"access_control_list": [{"user_name": "user@x.org", "permission_level": "CAN_QUERY"}]}
    await admin.patch(f"/api/2.0/permissions/serving-endpoints/{made['id']}", json=grants)
    shown = (await user.get(f"{ROOT}/one")).json()
    assert (shown["permission_level"], shown["task"]) == ("CAN_QUERY", "llm/v1/chat")
    [listed] = (await user.get(ROOT)).json()["endpoints"]
    assert listed["task"] == "llm/v1/chat"


async def test_trap_23_an_endpoint_made_again_has_another_id(admin):
    first = (await admin.post(ROOT, json=BODY)).json()["id"]
    await admin.delete(f"{ROOT}/one")
    assert (await admin.post(ROOT, json=BODY)).json()["id"] != first


async def test_trap_24_discovery_answers_at_once_and_the_workspace_is_a_number(anonymous, user, store):
    store.away = True
    found = await anonymous.get("/.well-known/databricks-config")
    assert found.status_code in {200, 404}
    assert found.headers["content-type"] == "application/json"
    server = await anonymous.get("/oidc/.well-known/oauth-authorization-server")
    assert server.json()["token_endpoint"].endswith("/oidc/v1/token")
    store.away = False
    me = await user.get("/api/2.0/preview/scim/v2/Me")
    assert int(me.headers["x-databricks-org-id"]) > 0


async def test_trap_25_what_can_be_optimized_has_the_size_of_a_chunk(admin, clock):
    path = f"{ROOT}/get-model-optimization-info/{GUIDE}/1"
    before = (await admin.get(path)).json()
    await make(admin, clock)
    after = (await admin.get(path)).json()
    for info in (before, after):
        assert info["optimizable"] is True
        assert type(info["throughput_chunk_size"]) is int
        assert info["throughput_chunk_size"] > 0


async def test_trap_26_a_minimum_of_0_and_throughputs_beside_whole_chunks_are_taken_as_sent(admin, clock):
    entity = {**ENTITY, "min_provisioned_throughput": 0, "max_provisioned_throughput": 101}
    made = await make(admin, clock, config={"served_entities": [entity]})
    [one] = made["config"]["served_entities"]
    assert (one["min_provisioned_throughput"], one["max_provisioned_throughput"]) == (0, 101)
    chunk = (await admin.get(f"{ROOT}/get-model-optimization-info/{GUIDE}/1")).json()["throughput_chunk_size"]
    assert 101 % chunk


async def test_trap_33_logs_of_an_unknown_entity_are_not_found_and_others_are_text(admin, clock):
    await make(admin, clock)
    for kind in ("logs", "build-logs"):
        assert isinstance((await admin.get(f"{ROOT}/one/served-models/guide-1/{kind}")).json()["logs"], str)
        missing = await admin.get(f"{ROOT}/one/served-models/other/{kind}")
        assert (missing.status_code, missing.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


async def test_trap_34_no_number_is_beyond_what_json_has(admin, clock):
    await make(admin, clock)

    def refuse(word):
        raise AssertionError(word)

    for path in ("", "/one", "/one/throughput", "/one/scaling-decisions", f"/get-model-optimization-info/{GUIDE}/1"):
        json.loads((await admin.get(ROOT + path)).text, parse_constant=refuse)
    infinite = b'{"name": "x", "config": {"served_entities": [{"max_provisioned_throughput": Infinity}]}}'
    assert (await admin.post(ROOT, content=infinite)).status_code == 400


async def test_trap_35_endpoints_of_the_system_are_in_the_list_and_first(admin, store):
    for name in ("alpha", "zeta"):
        await admin.post(ROOT, json={"name": name})
    config = Config(1, (), (), Task.CHAT, "System", 1, Outcome.ACTIVE)
    async with store.unit() as unit:
        await unit.endpoints.add(
            Endpoint("f" * 32, "databricks-guide", "System", 1, 1, "", False, (), active=None, latest=config)
        )
    names = [one["name"] for one in (await admin.get(ROOT)).json()["endpoints"]]
    assert names == ["databricks-guide", "alpha", "zeta"]
