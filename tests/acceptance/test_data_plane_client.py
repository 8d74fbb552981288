"""The SDK's client of the data plane: it finds out where to ask, and fetches a token for that endpoint by itself."""

import contextlib
import os
import uuid

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, PermissionDenied
from databricks.sdk.service.serving import (
    ChatMessage,
    ChatMessageRole,
    EndpointCoreConfigInput,
    ServedEntityInput,
    ServingEndpointAccessControlRequest,
    ServingEndpointPermissionLevel,
)

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
HELLO = [ChatMessage(role=ChatMessageRole.USER, content="hello")]


@pytest.fixture(scope="module")
def boss():
    return WorkspaceClient(host=URL, token=TOKEN)


@pytest.fixture
def robot(boss):
    """A service principal, and a client of it that signs in by OAuth."""
    made = boss.service_principals.create(display_name=f"robot-{uuid.uuid4().hex[:8]}")
    secret = boss.service_principal_secrets_proxy.create(made.id).secret
    client = {"client_id": made.application_id, "client_secret": secret}
    yield made.application_id, WorkspaceClient(host=URL, auth_type="oauth-m2m", **client)
    boss.service_principals.delete(made.id)


@pytest.fixture
def endpoint(boss, chat):
    """A route-optimized endpoint that serves the model of `chat`."""
    model = boss.serving_endpoints.get(chat).config.served_entities[0].entity_name
    entity = ServedEntityInput(
        entity_name=model, entity_version="1", min_provisioned_throughput=0, max_provisioned_throughput=100
    )
    name = f"direct-{uuid.uuid4().hex[:8]}"
    config = EndpointCoreConfigInput(name=name, served_entities=[entity])
    yield boss.serving_endpoints.create_and_wait(name, config=config, route_optimized=True)
    with contextlib.suppress(NotFound):
        boss.serving_endpoints.delete(name)


def may_query(application_id):
    level = ServingEndpointPermissionLevel.CAN_QUERY
    return [ServingEndpointAccessControlRequest(permission_level=level, service_principal_name=application_id)]


def test_the_data_plane_client_asks_with_a_token_of_its_own(boss, robot, endpoint):
    application_id, client = robot
    assert endpoint.endpoint_url == f"{URL}/serving-endpoints/{endpoint.name}/invocations"

    def give(level):
        wanted = ServingEndpointAccessControlRequest(permission_level=level, service_principal_name=application_id)
        boss.serving_endpoints.set_permissions(endpoint.id, access_control_list=[wanted])

    with pytest.raises(PermissionDenied, match="CAN_VIEW"):
        client.serving_endpoints_data_plane.query(endpoint.name, messages=HELLO)
    give(ServingEndpointPermissionLevel.CAN_VIEW)
    with pytest.raises(ValueError, match="invalid_authorization_details: User is not authorized"):
        client.serving_endpoints_data_plane.query(endpoint.name, messages=HELLO)
    give(ServingEndpointPermissionLevel.CAN_QUERY)
    for _ in range(2):
        said = client.serving_endpoints_data_plane.query(endpoint.name, messages=HELLO, max_tokens=2)
        assert said.choices[0].message.role is ChatMessageRole.ASSISTANT
        assert said.served_model_name == endpoint.config.served_entities[0].name


def test_its_token_is_good_for_its_endpoint_only(boss, robot, endpoint, chat):
    application_id, client = robot
    boss.serving_endpoints.update_permissions(endpoint.id, access_control_list=may_query(application_id))
    details = client.serving_endpoints.get(endpoint.name).data_plane_info.query_info.authorization_details
    narrow = WorkspaceClient(host=URL, token=client.api_client.get_oauth_token(details).access_token)
    assert narrow.serving_endpoints.query(endpoint.name, messages=HELLO, max_tokens=1).choices
    other = boss.serving_endpoints.get(chat)
    boss.serving_endpoints.update_permissions(other.id, access_control_list=may_query(application_id))
    assert client.serving_endpoints.query(chat, messages=HELLO, max_tokens=1).choices
    with pytest.raises(PermissionDenied, match=f"endpoint with id .{endpoint.id}. alone, not for .{chat}."):
        narrow.serving_endpoints.query(chat, messages=HELLO, max_tokens=1)
    with pytest.raises(PermissionDenied, match="scope"):
        narrow.serving_endpoints.list()


def test_personal_access_tokens_are_refused_by_the_client_itself(boss, endpoint):
    with pytest.raises(ValueError, match="OAuth"):
        boss.serving_endpoints_data_plane.query(endpoint.name, messages=HELLO)


def test_other_endpoints_have_no_such_client(boss, chat):
    with pytest.raises(Exception, match="does not support direct Data Plane access"):
        boss.serving_endpoints_data_plane.query(chat, messages=HELLO)
