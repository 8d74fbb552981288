"""Who may do what, as the unmodified databricks-sdk asks and says: grants on endpoints, users, groups, principals."""

import os
import uuid

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, NotFound, PermissionDenied, ResourceConflict
from databricks.sdk.service import iam
from databricks.sdk.service import serving as api

URL = os.environ.get("PENSTOCK_URL", "http://127.0.0.1:8080").rstrip("/")
TOKEN = os.environ.get("PENSTOCK_TOKEN", "")
LEVEL = api.ServingEndpointPermissionLevel


def unique(word):
    return f"{word}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def boss():
    return WorkspaceClient(host=URL, token=TOKEN)


@pytest.fixture
def endpoint(boss):
    """An endpoint whose model is hosted at an address where nobody is."""
    config = api.OpenAiConfig(openai_api_key_plaintext="sk-none", openai_api_base="https://nobody.invalid/v1")
    provider = api.ExternalModelProvider.OPENAI
    model = api.ExternalModel(name="m", provider=provider, task="llm/v1/chat", openai_config=config)
    served = api.ServedEntityInput(name="far", external_model=model)
    name = unique("granted")
    made = boss.serving_endpoints.create(
        name=name, config=api.EndpointCoreConfigInput(name=name, served_entities=[served])
    )
    yield made.response
    boss.serving_endpoints.delete(name)


@pytest.fixture
def robot(boss):
    """A service principal, and a client that is it."""
    made = boss.service_principals.create(display_name=unique("robot"))
    secret = boss.service_principal_secrets_proxy.create(made.id).secret
    yield made, WorkspaceClient(host=URL, auth_type="oauth-m2m", client_id=made.application_id, client_secret=secret)
    boss.service_principals.delete(made.id)


def granted(permissions):
    """Who has which level."""
    return {
        one.user_name or one.group_name or one.service_principal_name: [
            (level.permission_level, level.inherited) for level in one.all_permissions
        ]
        for one in permissions.access_control_list
    }


def grant(level, **who):
    return api.ServingEndpointAccessControlRequest(permission_level=level, **who)


def test_grants_are_set_updated_and_told(boss, endpoint, robot):
    mine = boss.current_user.me().user_name
    kept = {mine: [(LEVEL.CAN_MANAGE, False)], "admins": [(LEVEL.CAN_MANAGE, True)]}
    service = boss.serving_endpoints
    found = service.get_permissions(endpoint.id)
    assert (found.object_id, found.object_type) == (f"/serving-endpoints/{endpoint.id}", "serving-endpoint")
    assert granted(found) == kept
    his = robot[0].application_id
    changed = service.update_permissions(
        endpoint.id, access_control_list=[grant(LEVEL.CAN_VIEW, service_principal_name=his)]
    )
    assert granted(changed) == {**kept, his: [(LEVEL.CAN_VIEW, False)]}
    changed = service.set_permissions(endpoint.id, access_control_list=[grant(LEVEL.CAN_QUERY, group_name="users")])
    assert (
        granted(changed)
        == {**kept, "users": [(LEVEL.CAN_QUERY, False)]}
        == granted(service.get_permissions(endpoint.id))
    )
    levels = service.get_permission_levels(endpoint.id).permission_levels
    assert [one.permission_level for one in levels] == [LEVEL.CAN_MANAGE, LEVEL.CAN_QUERY, LEVEL.CAN_VIEW][::-1]
    with pytest.raises(NotFound):
        service.get_permissions("0" * 32)


def test_each_level_lets_do_what_it_says(boss, endpoint, robot):
    principal, client = robot
    service = client.serving_endpoints

    def give(level):
        wanted = [grant(level, service_principal_name=principal.application_id)] if level else []
        boss.serving_endpoints.set_permissions(endpoint.id, access_control_list=wanted)

    def ask():
        message = api.ChatMessage(role=api.ChatMessageRole.USER, content="hello")
        service.query(endpoint.name, messages=[message])

    with pytest.raises(PermissionDenied, match="CAN_VIEW"):
        service.get(endpoint.name)
    assert endpoint.name not in [one.name for one in service.list()]
    give(LEVEL.CAN_VIEW)
    assert service.get(endpoint.name).permission_level.value == "CAN_VIEW"
    assert endpoint.name in [one.name for one in service.list()]
    with pytest.raises(PermissionDenied, match="CAN_QUERY"):
        ask()
    give(LEVEL.CAN_QUERY)
    with pytest.raises(Exception, match=r"(?i)nobody|reach|resolve|provider") as told:
        ask()
    assert not isinstance(told.value, PermissionDenied)
    with pytest.raises(PermissionDenied, match="CAN_MANAGE"):
        service.patch(endpoint.name, add_tags=[api.EndpointTag(key="a")])
    give(LEVEL.CAN_MANAGE)
    service.patch(endpoint.name, add_tags=[api.EndpointTag(key="a")])
    give(None)
    with pytest.raises(PermissionDenied):
        ask()


def test_groups_have_members_and_grants(boss, endpoint, robot):
    principal, client = robot
    team = boss.groups.create(display_name=unique("team"), members=[iam.ComplexValue(value=principal.id)])
    try:
        assert [one.value for one in boss.groups.get(team.id).members] == [principal.id]
        assert team.display_name in [group.display for group in client.current_user.me().groups]
        wanted = [grant(LEVEL.CAN_QUERY, group_name=team.display_name)]
        boss.serving_endpoints.set_permissions(endpoint.id, access_control_list=wanted)
        assert client.serving_endpoints.get(endpoint.name).permission_level.value == "CAN_QUERY"
        leave = iam.Patch(op=iam.PatchOp.REMOVE, path=f'members[value eq "{principal.id}"]')
        schema = iam.PatchSchema.URN_IETF_PARAMS_SCIM_API_MESSAGES_2_0_PATCH_OP
        boss.groups.patch(team.id, operations=[leave], schemas=[schema])
        with pytest.raises(PermissionDenied):
            client.serving_endpoints.get(endpoint.name)
        boss.groups.update(team.id, display_name=team.display_name, members=[iam.ComplexValue(value=principal.id)])
        assert client.serving_endpoints.get(endpoint.name).name == endpoint.name
        assert [one.id for one in boss.groups.list(filter=f'displayName eq "{team.display_name}"')] == [team.id]
        with pytest.raises(ResourceConflict):
            boss.groups.create(display_name=team.display_name)
    finally:
        boss.groups.delete(team.id)
    with pytest.raises(PermissionDenied):
        client.serving_endpoints.get(endpoint.name)
    with pytest.raises(NotFound):
        boss.groups.get(team.id)


def test_a_principal_that_is_deactivated_is_refused_at_once(boss, robot):
    principal, client = robot
    assert client.current_user.me().active
    boss.service_principals.update(principal.id, active=False, display_name="Robby")
    with pytest.raises(PermissionDenied):
        client.current_user.me()
    again = iam.Patch(op=iam.PatchOp.REPLACE, path="active", value="true")
    boss.service_principals.patch(principal.id, operations=[again])
    assert client.current_user.me().display_name == "Robby"
    found = boss.service_principals.list(filter=f'applicationId eq "{principal.application_id}"')
    assert [one.id for one in found] == [principal.id]


def test_users_are_replaced_and_patched(boss):
    name = f"{unique('guest')}@example.org"
    made = boss.users.create(user_name=name, name=iam.Name(given_name="Ada", family_name="Byron"))
    assert made.display_name == "Ada Byron"
    boss.users.update(made.id, user_name=name, display_name="Ada", active=False)
    found = boss.users.get(made.id)
    assert (found.display_name, found.active) == ("Ada", False)
    assert [one.id for one in boss.users.list(filter=f'userName eq "{name}"', attributes="id,userName")] == [made.id]
    with pytest.raises(BadRequest, match="cannot be changed"):
        boss.users.update(made.id, user_name="other@example.org")
    with pytest.raises(ResourceConflict, match="already exists"):
        boss.users.create(user_name=name)
    boss.users.delete(made.id)
    with pytest.raises(NotFound):
        boss.users.get(made.id)
