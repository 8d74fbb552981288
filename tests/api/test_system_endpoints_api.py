"""The system's own endpoints, as the platform shows those of its foundation models."""

import pytest
from endpoint_loops import running

from penstock.domain.access import USERS, PermissionLevel
from penstock.domain.acl import Acl, Grantee, GranteeKind
from penstock.domain.endpoint import Config, Endpoint, Outcome
from penstock.domain.model import Task
from penstock.domain.served_entity import ServedEntity
from penstock.domain.traffic import Route
from penstock.testing.serving import World, add_model

ROOT = "/api/2.0/serving-endpoints"
NAME, MODEL = "databricks-tiny", "system.ai.tiny"


@pytest.fixture
def world(store, clock):
    return World(store, clock)


@pytest.fixture(autouse=True)
async def loops(store, world):
    await add_model(store, MODEL)
    entity = ServedEntity(NAME, MODEL, "1", 0, 0, scale_to_zero_enabled=True)
    config = Config(1, (entity,), (Route(NAME, 100),), Task.CHAT, "System", 1)
    acl = Acl({Grantee(GranteeKind.GROUP, USERS): PermissionLevel.CAN_QUERY})
    endpoint = Endpoint(
        "f" * 32, NAME, "System", 1, 1, "Tiny, paid by the token.", False, (), active=None, latest=config, acl=acl
    )
    async with store.unit() as unit:
        await unit.endpoints.add(endpoint)
        await unit.endpoints.end(endpoint.id, 1, Outcome.ACTIVE, "", 1)
    async with running(world):
        yield


async def test_an_endpoint_of_the_system_tells_its_model_and_no_version(admin):
    got = (await admin.get(f"{ROOT}/{NAME}")).json()
    assert (got["state"], got["creator"], got["task"], got["endpoint_type"]) == (
        {"ready": "READY", "config_update": "NOT_UPDATING"},
        "System",
        "llm/v1/chat",
        "FOUNDATION_MODEL_API",
    )
    (entity,) = got["config"]["served_entities"]
    assert entity["foundation_model"] == {"name": MODEL, "description": "Tiny, paid by the token."}
    assert entity["state"]["deployment"] == "DEPLOYMENT_READY"
    assert not {"entity_version", "min_provisioned_throughput", "max_provisioned_throughput"} & set(entity)
    (listed,) = (await admin.get(ROOT)).json()["endpoints"]
    assert listed["config"]["served_entities"] == [
        {"name": NAME, "entity_name": MODEL, "foundation_model": entity["foundation_model"]}
    ]


async def test_nobody_updates_stops_or_deletes_it_and_administrators_limit_it(admin):
    for method, path, body in (
        ("DELETE", "", None),
        ("PUT", "/config", {"served_entities": []}),
        ("POST", "/config:stop", None),
        ("PATCH", "/tags", {"add_tags": [{"key": "a"}]}),
    ):
        answer = await admin.request(method, f"{ROOT}/{NAME}{path}", json=body)
        assert answer.status_code in {400, 403}, (path, answer.text)
        if answer.status_code == 403:
            assert "is the system's" in answer.json()["message"]
    limits = {"rate_limits": [{"calls": 5, "renewal_period": "minute"}]}
    assert (await admin.put(f"{ROOT}/{NAME}/ai-gateway", json=limits)).status_code == 200
    assert (await admin.get(f"{ROOT}/{NAME}")).json()["ai_gateway"]["rate_limits"][0]["calls"] == 5
