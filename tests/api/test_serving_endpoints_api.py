"""The serving endpoints' routes: shapes, lenience and refusals, on engines of virtual time."""

import json

import pytest
from endpoint_loops import running, settle

from penstock.domain.catalog import VersionStatus
from penstock.domain.model import Task
from penstock.testing.serving import add_model

ROOT = "/api/2.0/serving-endpoints"
GUIDE = "main.default.guide"


def entity(**changes):
    body = {
        "entity_name": GUIDE,
        "entity_version": 1,
        "min_provisioned_throughput": 10,
        "max_provisioned_throughput": 30,
    }
    return {key: value for key, value in {**body, **changes}.items() if value is not ...}


def body(name="one", *entities, **more):
    return {"name": name, "config": {"served_entities": list(entities) or [entity()]}, **more}


@pytest.fixture
async def model(store):
    await add_model(store, GUIDE)


@pytest.fixture
async def loops(world, model):
    async with running(world):
        yield


async def test_an_endpoint_as_created_and_as_ready(admin, clock, loops):
    answer = await admin.post(
        ROOT,
        json=body(
            tags=[{"key": "team", "value": "water"}, {"key": "bare"}],
            rate_limits=[{"calls": 1, "renewal_period": "minute"}],
        )
        | {"email_notifications": {"on_update_failure": ["a@b.c"]}, "task": "llm/v1/chat"},
    )
    assert answer.status_code == 200
    made = answer.json()
    assert made["state"] == {"ready": "NOT_READY", "config_update": "IN_PROGRESS"}
    assert "config" not in made
    assert made["pending_config"]["config_version"] == 1
    assert made["pending_config"]["start_time"] == made["creation_timestamp"]
    assert made["pending_config"]["served_entities"][0]["state"]["deployment"] == "DEPLOYMENT_CREATING"
    assert made["description"] == ""
    assert made["route_optimized"] is False
    assert made["tags"] == [{"key": "team", "value": "water"}, {"key": "bare", "value": ""}]
    assert len(made["id"]) == 32
    ready = await settle(admin, clock)
    assert ready["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    assert "pending_config" not in ready
    assert ready["permission_level"] == "CAN_MANAGE"
    assert ready["task"] == "llm/v1/chat"
    one = ready["config"]["served_entities"][0]
    assert one == {
        "name": "guide-1",
        "entity_name": GUIDE,
        "entity_version": "1",
        "min_provisioned_throughput": 10,
        "max_provisioned_throughput": 30,
        "creator": "admin@x.org",
        "creation_timestamp": made["creation_timestamp"],
        "state": {"deployment": "DEPLOYMENT_READY", "deployment_state_message": ""},
    }
    assert ready["config"]["served_models"][0]["model_name"] == GUIDE
    assert ready["config"]["served_models"][0]["model_version"] == "1"
    assert ready["config"]["traffic_config"] == {
        "routes": [{"served_model_name": "guide-1", "served_entity_name": "guide-1", "traffic_percentage": 100}]
    }


async def open_to_users(admin, endpoint_id, level):
    grants = {"access_control_list": [{"group_name": "users", "permission_level": level}]}
    answer = await admin.patch(f"/api/2.0/permissions/serving-endpoints/{endpoint_id}", json=grants)
    assert answer.status_code == 200


async def test_the_list_with_and_without_a_slash(admin, user, model):
    assert (await admin.get(ROOT + "/")).json() == {"endpoints": []}
    made = (await admin.post(ROOT + "/", json=body())).json()
    assert (await user.get(ROOT)).json() == {"endpoints": []}
    await open_to_users(admin, made["id"], "CAN_VIEW")
    for path in (ROOT, ROOT + "/"):
        [one] = (await user.get(path)).json()["endpoints"]
        assert one["name"] == "one"
        assert one["task"] == "llm/v1/chat"
        assert one["config"]["served_entities"] == [{"name": "guide-1", "entity_name": GUIDE, "entity_version": "1"}]
        assert one["config"]["served_models"] == [{"name": "guide-1", "model_name": GUIDE, "model_version": "1"}]


async def test_numbers_as_strings_and_the_older_names(admin, model):
    old = {
        "model_name": "Main.Default.GUIDE",
        "model_version": "1",
        "min_provisioned_throughput": "0",
        "max_provisioned_throughput": "100",
        "scale_to_zero_enabled": "true",
        "workload_size": "Small",
        "name": "mine",
    }
    routes = [{"served_model_name": "mine", "traffic_percentage": "100"}]
    config = {"name": "one", "served_models": [old], "traffic_config": {"routes": routes}}
    answer = (await admin.post(ROOT, json={"name": "one", "config": config})).json()
    one = answer["pending_config"]["served_entities"][0]
    assert (one["entity_name"], one["entity_version"], one["name"]) == (GUIDE, "1", "mine")
    assert (one["min_provisioned_throughput"], one["max_provisioned_throughput"]) == (0, 100)
    assert one["scale_to_zero_enabled"] is True


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"min_provisioned_throughput": ...}, "min_provisioned_throughput of 'guide-1' must be given"),
        ({"max_provisioned_throughput": ...}, "max_provisioned_throughput of 'guide-1' must be given"),
        ({"min_provisioned_throughput": 31}, "must not be more than its max_provisioned_throughput"),
        ({"min_provisioned_throughput": -1}, "must be 0 or more"),
        ({"max_provisioned_throughput": "many"}, "max_provisioned_throughput"),
        ({"name": "no spaces"}, "name of a served entity"),
        ({"entity_name": "guide"}, "all three levels"),
        ({"entity_version": "latest"}, "entity_version"),
        ({"entity_version": ...}, "entity_version of a served entity must be given"),
        ({"external_model": {"name": "x"}}, "not supported for endpoints with external models"),
        ({"provisioned_model_units": 50}, "provisioned_model_units"),
        ({"instance_profile_arn": "arn"}, "instance_profile_arn"),
        ({"environment_vars": {"A": "b"}}, "environment_vars"),
        ({"weight_precision": "int4"}, "weight_precision must be one of int8, bf16"),
    ],
)
async def test_what_cannot_work_is_refused_by_name(admin, model, change, says):
    answer = await admin.post(ROOT, json=body("one", entity(**change)))
    assert answer.status_code == 400
    assert says in answer.json()["message"]
    assert (await admin.get(ROOT)).json() == {"endpoints": []}


@pytest.mark.parametrize(
    "name", ["no spaces!", "", "a" * 64, "databricks-mine", "pt", "chat", "get-model-optimization-info"]
)
async def test_names_that_are_refused(admin, model, name):
    answer = await admin.post(ROOT, json=body(name))
    assert answer.status_code == 400
    assert "name" in answer.json()["message"]


async def test_unknown_models_and_versions_that_cannot_be_served(admin, store, model):
    await add_model(store, "main.default.slow", status=VersionStatus.PENDING_REGISTRATION)
    await add_model(store, "main.default.odd", problem="its architecture 'Odd' is not known")
    missing = await admin.post(ROOT, json=body("one", entity(entity_name="main.default.nothing")))
    assert (missing.status_code, missing.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    older = await admin.post(ROOT, json=body("one", entity(entity_version=7)))
    assert (older.status_code, "Version 7" in older.json()["message"]) == (404, True)
    slow = await admin.post(ROOT, json=body("one", entity(entity_name="main.default.slow")))
    assert (slow.status_code, "not READY" in slow.json()["message"]) == (400, True)
    odd = await admin.post(ROOT, json=body("one", entity(entity_name="main.default.odd")))
    assert (odd.status_code, "'Odd' is not known" in odd.json()["message"]) == (400, True)


async def test_several_entities_need_routes_and_one_task(admin, store, model):
    await add_model(store, "main.default.bge", task=Task.EMBEDDINGS)
    two = [entity(name="a"), entity(name="b")]
    answer = await admin.post(ROOT, json=body("one", *two))
    assert (answer.status_code, "traffic_config.routes is required" in answer.json()["message"]) == (400, True)
    mixed = body("one", entity(name="a"), entity(name="b", entity_name="main.default.bge"))
    mixed["config"]["traffic_config"] = {
        "routes": [
            {"served_entity_name": "a", "traffic_percentage": 50},
            {"served_entity_name": "b", "traffic_percentage": 50},
        ]
    }
    answer = await admin.post(ROOT, json=mixed)
    assert (answer.status_code, "the same task" in answer.json()["message"]) == (400, True)
    mixed["config"]["served_entities"] = two
    assert (await admin.post(ROOT, json=mixed)).status_code == 200
    mixed["config"]["traffic_config"]["routes"][0]["traffic_percentage"] = 51
    mixed["name"] = "two"
    answer = await admin.post(ROOT, json=mixed)
    assert (answer.status_code, "sum to 100" in answer.json()["message"]) == (400, True)


async def test_a_taken_name_is_a_conflict_and_a_deleted_one_is_free(admin, clock, loops):
    first = (await admin.post(ROOT, json=body())).json()
    again = await admin.post(ROOT, json=body())
    assert (again.status_code, again.json()["error_code"]) == (409, "RESOURCE_ALREADY_EXISTS")
    gone = await admin.delete(f"{ROOT}/one")
    assert (gone.status_code, gone.json()) == (200, {})
    assert (await admin.get(f"{ROOT}/one")).json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert (await admin.post(ROOT, json=body())).json()["id"] != first["id"]


async def test_an_update_shows_both_configurations_and_refuses_a_second(admin, clock, loops):
    await admin.post(ROOT, json=body())
    await settle(admin, clock)
    config = {"served_entities": [entity(max_provisioned_throughput=60, weight_precision="bf16")], "name": "ignored"}
    answer = (await admin.put(f"{ROOT}/one/config", json=config)).json()
    assert answer["state"] == {"ready": "READY", "config_update": "IN_PROGRESS"}
    assert answer["config"]["config_version"] == 1
    assert answer["pending_config"]["config_version"] == 2
    assert answer["pending_config"]["served_entities"][0]["weight_precision"] == "bf16"
    second = await admin.put(f"{ROOT}/one/config/", json=config)
    assert (second.status_code, second.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
    cancelled = await admin.post(f"{ROOT}/one/config:cancel")
    assert cancelled.status_code == 200
    ended = await settle(admin, clock)
    assert ended["state"] == {"ready": "READY", "config_update": "UPDATE_CANCELED"}
    assert "was cancelled" in ended["config"]["served_entities"][0]["state"]["deployment_state_message"]
    assert (await admin.post(f"{ROOT}/one/config:cancel")).status_code == 409
    only_traffic = {"traffic_config": {"routes": [{"served_entity_name": "guide-1", "traffic_percentage": 100}]}}
    third = (await admin.put(f"{ROOT}/one/config", json=only_traffic)).json()
    assert third["pending_config"]["config_version"] == 3
    empty = await admin.put(f"{ROOT}/one/config", json={})
    assert empty.status_code in {400, 409}


async def test_only_who_manages_may_change(admin, user, model):
    made = (await admin.post(ROOT, json=body())).json()
    assert (await user.get(f"{ROOT}/one")).status_code == 403
    await open_to_users(admin, made["id"], "CAN_QUERY")
    assert (await user.get(f"{ROOT}/one")).json()["permission_level"] == "CAN_QUERY"
    for answer in (
        await user.delete(f"{ROOT}/one"),
        await user.put(f"{ROOT}/one/config", json={"served_entities": [entity()]}),
        await user.patch(f"{ROOT}/one/tags", json={"delete_tags": ["x"]}),
        await user.post(f"{ROOT}/one/config:cancel"),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
    assert (await user.post(ROOT, json=body("mine"))).json()["permission_level"] == "CAN_MANAGE"


async def test_tags(admin, model):
    await admin.post(ROOT, json=body(tags=[{"key": "a", "value": "1"}]))
    change = {"add_tags": [{"key": "b", "value": "2"}], "delete_tags": ["a"]}
    assert (await admin.patch(f"{ROOT}/one/tags", json=change)).json() == {"tags": [{"key": "b", "value": "2"}]}
    old = {"user-agent": "databricks-sdk-py/0.43.0 python/3.11"}
    answer = await admin.patch(f"{ROOT}/one/tags", json={}, headers=old)
    assert answer.json() == [{"key": "b", "value": "2"}]


async def test_logs_of_a_served_entity(admin, clock, loops):
    await admin.post(ROOT, json=body())
    await settle(admin, clock)
    path = f"{ROOT}/one/served-models/guide-1"
    assert (await admin.get(f"{path}/build-logs")).json()["logs"].startswith("build ")
    assert (await admin.get(f"{path}/logs", params={"config_version": 1})).json()["logs"].startswith("serve ")
    with_body = await admin.request("GET", f"{path}/logs/", content=json.dumps({"config_version": 1}))
    assert with_body.json()["logs"].startswith("serve ")
    none = await admin.request("GET", f"{path}/logs", content=json.dumps({"config_version": 9}))
    assert (none.status_code, "config version 9" in none.json()["message"]) == (404, True)
    assert (await admin.get(f"{ROOT}/one/served-models/other/logs")).status_code == 404
    assert (await admin.get(f"{ROOT}/two/served-models/guide-1/logs")).status_code == 404


async def test_optimization_info_is_an_estimate_until_measured(admin, store, clock, loops):
    path = f"{ROOT}/get-model-optimization-info/{GUIDE}/1"
    before = (await admin.get(path)).json()
    assert before["optimizable"] is True
    assert before["model_type"] == "llama"
    assert isinstance(before["throughput_chunk_size"], int)
    assert before["throughput_chunk_size"] > 0
    assert before["estimated"] is True
    await admin.post(ROOT, json=body())
    await settle(admin, clock)
    after = (await admin.get(path + "/")).json()
    assert after["estimated"] is False
    assert [point["parallel"] for point in after["profile"]["curve"]] == [1, 2, 4]
    terms = after["terms"]
    assert terms["knee"] == after["profile"]["knee"]
    assert all(terms[field] > 0 for field in ("max_running", "kv_tokens", "input_tokens", "output_tokens"))
    await add_model(store, "main.default.odd", problem="its architecture 'Odd' is not known")
    odd = (await admin.get(f"{ROOT}/get-model-optimization-info/main.default.odd/1")).json()
    assert odd["optimizable"] is False
    assert "'Odd' is not known" in odd["message"]
    for name, version in ((GUIDE, 9), ("main.default.none", 1)):
        answer = await admin.get(f"{ROOT}/get-model-optimization-info/{name}/{version}")
        assert answer.status_code == 404


async def test_more_than_the_device_can_ever_do_is_refused_once_measured(admin, clock, loops):
    await admin.post(ROOT, json=body())
    await settle(admin, clock)
    huge = entity(min_provisioned_throughput=10**9, max_provisioned_throughput=10**9)
    answer = await admin.post(ROOT, json=body("two", huge))
    assert answer.status_code == 400
    assert "throughput is needed" in answer.json()["message"]
    assert "chunks" in answer.json()["message"]
