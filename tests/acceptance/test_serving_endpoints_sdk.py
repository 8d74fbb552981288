"""Every method of the SDK's `serving_endpoints`, called as users call it."""

import contextlib
import inspect
import json
import os
import subprocess
import uuid
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, NotFound
from databricks.sdk.service.serving import (
    ChatMessage,
    ChatMessageRole,
    DataframeSplitInput,
    EmailNotifications,
    EndpointCoreConfigInput,
    EndpointStateConfigUpdate,
    EndpointStateReady,
    EndpointTag,
    ExternalFunctionRequestHttpMethod,
    FallbackConfig,
    PtEndpointCoreConfig,
    PtServedModel,
    RateLimit,
    RateLimitKey,
    RateLimitRenewalPeriod,
    Route,
    ServedEntityInput,
    ServedModelInput,
    ServingEndpointAccessControlRequest,
    ServingEndpointPermissionLevel,
    TelemetryConfig,
    TrafficConfig,
)

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
READY = (EndpointStateReady.READY, EndpointStateConfigUpdate.NOT_UPDATING)
LIMIT = RateLimit(calls=100, key=RateLimitKey.ENDPOINT, renewal_period=RateLimitRenewalPeriod.MINUTE)


@pytest.fixture(scope="module")
def workspace():
    return WorkspaceClient(host=URL, token=TOKEN)


@pytest.fixture(scope="module")
def called():
    """The methods that this file has called."""
    return set()


@pytest.fixture(scope="module")
def endpoints(workspace, called):
    """The service, which notes what is called of it."""

    class Noting:
        def __getattr__(self, method):
            called.add(method)
            return getattr(workspace.serving_endpoints, method)

    return Noting()


@pytest.fixture(scope="module")
def model(workspace, chat):
    """The name of a registered model that is measured and served."""
    return workspace.serving_endpoints.get(chat).config.served_entities[0].entity_name


@pytest.fixture
def name(workspace):
    made = f"sdk-{uuid.uuid4().hex[:8]}"
    yield made
    with contextlib.suppress(NotFound):
        workspace.serving_endpoints.delete(made)


def entity(model, **more):
    return ServedEntityInput(
        entity_name=model,
        entity_version="1",
        min_provisioned_throughput=0,
        max_provisioned_throughput=100,
        **more,
    )


def state(endpoint):
    return endpoint.state.ready, endpoint.state.config_update


def test_an_endpoint_from_its_creation_to_its_end(endpoints, model, name):
    told = EmailNotifications(on_update_failure=["a@example.org"], on_update_success=["b@example.org"])
    made = endpoints.create(
        name,
        config=EndpointCoreConfigInput(name=name, served_entities=[entity(model)]),
        budget_policy_id="policy",
        description="for the tests",
        email_notifications=told,
        rate_limits=[LIMIT],
        route_optimized=False,
        tags=[EndpointTag(key="team", value="water")],
    )
    assert made.response.state.config_update is EndpointStateConfigUpdate.IN_PROGRESS
    ready = endpoints.wait_get_serving_endpoint_not_updating(name)
    assert state(ready) == READY
    assert ready.description == "for the tests"
    assert ready.email_notifications == told
    assert ready.tags == [EndpointTag(key="team", value="water")]
    [listed] = [one for one in endpoints.list() if one.name == name]
    assert (listed.usage_policy_id, listed.task) == ("policy", "llm/v1/chat")
    tags = endpoints.patch(name, add_tags=[EndpointTag(key="stage")], delete_tags=["team"])
    assert [tag.key for tag in tags.tags] == ["stage"]
    other = EmailNotifications(on_update_failure=["c@example.org"])
    assert endpoints.update_notifications(name, email_notifications=other).email_notifications == other
    telemetry = TelemetryConfig(telemetry_profile_id="profile")
    patched = endpoints.patch_telemetry_config(name, telemetry_config=telemetry)
    assert patched.telemetry_config.telemetry_profile_id == "profile"
    assert endpoints.patch_telemetry_config(name).telemetry_config is None
    assert endpoints.get(name).config.config_version == 1
    endpoints.delete(name)
    with pytest.raises(NotFound):
        endpoints.get(name)


def test_updates_in_the_newer_and_the_older_words(endpoints, model, name):
    made = endpoints.create_and_wait(
        name, config=EndpointCoreConfigInput(name=name, served_entities=[entity(model, name="a")])
    )
    assert state(made) == READY
    routes = [Route(served_model_name=one, traffic_percentage=50) for one in "ab"]
    wait = endpoints.update_config(
        name,
        served_entities=[entity(model, name="a"), entity(model, name="b")],
        traffic_config=TrafficConfig(routes=routes),
    )
    assert len(wait.result().config.served_entities) == 2
    older = ServedModelInput(
        model_name=model,
        model_version="1",
        scale_to_zero_enabled=True,
        min_provisioned_throughput=0,
        max_provisioned_throughput=100,
    )
    updated = endpoints.update_config_and_wait(name, served_models=[older])
    assert updated.config.config_version == 3
    assert updated.config.served_models[0].model_name == model


def test_provisioned_throughput_in_model_units(endpoints, model, name):
    config = PtEndpointCoreConfig(
        served_entities=[PtServedModel(entity_name=model, entity_version="1", provisioned_model_units=50)]
    )
    made = endpoints.create_provisioned_throughput_endpoint(name, config).result()
    assert made.config.served_entities[0].provisioned_model_units == 50
    assert endpoints.update_provisioned_throughput_endpoint_config(name, config).result().config.config_version == 2
    again = endpoints.update_provisioned_throughput_endpoint_config_and_wait(name, config)
    assert again.config.config_version == 3
    endpoints.delete(name)
    assert state(endpoints.create_provisioned_throughput_endpoint_and_wait(name, config)) == READY


def test_what_an_endpoint_tells(endpoints, chat):
    metrics = endpoints.export_metrics(chat).contents.read().decode()
    assert "request_count_total" in metrics
    described = json.loads(endpoints.get_open_api(chat).contents.read())
    assert described["info"]["title"] == chat
    assert "/invocations" in described["paths"]
    assert isinstance(endpoints.build_logs(chat, "the-entity").logs, str)
    assert isinstance(endpoints.logs(chat, "the-entity").logs, str)


def test_queries_in_every_form(endpoints, chat, completions, embeddings):
    said = endpoints.query(chat, messages=[ChatMessage(role=ChatMessageRole.USER, content="hello")], max_tokens=2)
    assert said.served_model_name == "the-entity"
    assert said.choices[0].message.role is ChatMessageRole.ASSISTANT
    assert len(endpoints.query(chat, inputs="hello", max_tokens=2).predictions) == 1
    table = DataframeSplitInput(columns=["prompt"], data=[["one"], ["two"]])
    assert len(endpoints.query(completions, dataframe_split=table, max_tokens=2).predictions) == 2
    assert len(endpoints.query(completions, dataframe_records=[{"prompt": "one"}], max_tokens=2).predictions) == 1
    assert endpoints.query(completions, prompt="one", max_tokens=2).choices
    assert len(endpoints.query(embeddings, instances=["one", "two"]).predictions) == 2
    assert endpoints.query(embeddings, input="one").data[0].embedding


def test_stop_and_start(endpoints, workspace, model, name):
    endpoints.create_and_wait(name, config=EndpointCoreConfigInput(name=name, served_entities=[entity(model)]))
    path = f"/api/2.0/serving-endpoints/{name}/config"
    assert workspace.api_client.do("POST", f"{path}:stop")["state"]["suspend"] == "STOPPED"
    with pytest.raises(BadRequest, match="is stopped"):
        endpoints.query(name, inputs="hello")
    workspace.api_client.do("POST", f"{path}:start")
    assert state(endpoints.wait_get_serving_endpoint_not_updating(name)) == READY
    assert endpoints.query(name, inputs="hello", max_tokens=1).predictions


def test_the_gateway_of_models_that_run_here(endpoints, chat):
    assert endpoints.put(chat, rate_limits=[LIMIT]).rate_limits == [LIMIT]
    assert endpoints.put_ai_gateway(chat).fallback_config is None
    with pytest.raises(BadRequest, match="fallback_config"):
        endpoints.put_ai_gateway(chat, fallback_config=FallbackConfig(enabled=True))


def test_permissions(endpoints, chat):
    key = endpoints.get(chat).id
    levels = endpoints.get_permission_levels(key).permission_levels
    assert {one.permission_level.value for one in levels} == {"CAN_VIEW", "CAN_QUERY", "CAN_MANAGE"}
    wish = ServingEndpointAccessControlRequest(
        group_name="users", permission_level=ServingEndpointPermissionLevel.CAN_QUERY
    )
    for change in (endpoints.update_permissions, endpoints.set_permissions):
        made = change(key, access_control_list=[wish])
        assert "users" in [one.group_name for one in made.access_control_list]
    assert endpoints.set_permissions(key, access_control_list=[]).object_id == f"/serving-endpoints/{key}"
    assert "users" not in [one.group_name for one in endpoints.get_permissions(key).access_control_list]


def test_a_connection_is_not_there(endpoints):
    with pytest.raises(NotFound, match="Connection 'weather' does not exist"):
        endpoints.http_request("weather", ExternalFunctionRequestHttpMethod.GET, "/", json={"a": "b"})


OLDER = {"get_open_ai_client", "get_langchain_chat_open_ai_client"}
"""What makes clients of other libraries, of which it takes older versions than are used here."""


@pytest.mark.parametrize("method", sorted(OLDER))
def test_clients_that_the_sdk_makes(called, method, chat):
    python, program = os.environ["PENSTOCK_OLDER_CLIENTS"], Path(__file__).with_name("older_clients.py")
    done = subprocess.run([python, program, method, chat], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "assistant"
    called.add(method)


def test_every_method_was_called(workspace, called):
    service = type(workspace.serving_endpoints)
    methods = {name for name, _ in inspect.getmembers(service, inspect.isfunction) if not name.startswith("_")}
    assert not methods - called
