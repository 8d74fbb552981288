"""Who is calling, as databricks-sdk asks: tokens, service principals, OAuth."""

import os
import uuid

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import DatabricksError, NotFound, PermissionDenied

URL = os.environ.get("PENSTOCK_URL", "http://127.0.0.1:8080").rstrip("/")
TOKEN = os.environ.get("PENSTOCK_TOKEN", "")


@pytest.fixture(scope="module")
def sdk_admin():
    return WorkspaceClient(host=URL, token=TOKEN)


@pytest.fixture
def robot(sdk_admin):
    """A service principal with a secret: (application id, secret, id)."""
    made = sdk_admin.service_principals.create(display_name=f"robot-{uuid.uuid4().hex[:8]}")
    secret = sdk_admin.service_principal_secrets_proxy.create(made.id)
    yield made.application_id, secret.secret, made.id
    sdk_admin.service_principals.delete(made.id)


def test_me_is_an_active_administrator(sdk_admin):
    me = sdk_admin.current_user.me()
    assert me.active
    assert me.user_name
    assert "admins" in [group.display for group in me.groups]


def test_the_workspace_has_a_number(sdk_admin):
    assert sdk_admin.get_workspace_id() > 0


def test_discovery_needs_no_credential():
    answer = requests.get(f"{URL}/.well-known/databricks-config", timeout=5)
    assert answer.status_code == 200
    assert answer.json()["oidc_endpoint"] == f"{URL}/oidc"


def test_a_token_is_made_used_listed_and_revoked(sdk_admin):
    made = sdk_admin.tokens.create(comment="acceptance", lifetime_seconds=300)
    assert made.token_info.expiry_time - made.token_info.creation_time == 300_000
    theirs = WorkspaceClient(host=URL, token=made.token_value)
    assert theirs.current_user.me().user_name == sdk_admin.current_user.me().user_name
    assert made.token_info.token_id in [token.token_id for token in sdk_admin.tokens.list()]
    sdk_admin.tokens.delete(made.token_info.token_id)
    with pytest.raises(PermissionDenied):
        theirs.current_user.me()
    with pytest.raises(NotFound):
        sdk_admin.tokens.delete(made.token_info.token_id)


def test_an_administrator_sees_and_revokes_tokens_of_others(sdk_admin):
    made = sdk_admin.tokens.create(comment="managed", lifetime_seconds=300)
    me = sdk_admin.current_user.me()
    managed = sdk_admin.token_management
    [told] = [one for one in managed.list(created_by_id=int(me.id)) if one.token_id == made.token_info.token_id]
    assert (told.created_by_username, told.comment) == (me.user_name, "managed")
    assert managed.get(told.token_id).token_info == told
    managed.delete(told.token_id)
    with pytest.raises(PermissionDenied):
        WorkspaceClient(host=URL, token=made.token_value).current_user.me()
    with pytest.raises(NotFound):
        managed.get(told.token_id)


def test_an_administrator_makes_a_token_for_a_service_principal(sdk_admin, robot):
    made = sdk_admin.token_management.create_obo_token(robot[0], comment="job", lifetime_seconds=300)
    assert WorkspaceClient(host=URL, token=made.token_value).current_user.me().user_name == robot[0]
    assert made.token_info.owner_id == int(robot[2])


def test_a_service_principal_signs_in_by_oauth(robot):
    client_id, secret, principal_id = robot
    client = WorkspaceClient(host=URL, client_id=client_id, client_secret=secret)
    assert client.config.auth_type == "oauth-m2m"
    me = client.current_user.me()
    assert (me.id, me.user_name) == (principal_id, client_id)


def test_a_wrong_secret_is_refused(robot):
    with pytest.raises((DatabricksError, ValueError), match="invalid_client"):
        WorkspaceClient(host=URL, client_id=robot[0], client_secret="wrong").current_user.me()


def test_secrets_are_listed_and_deleted(sdk_admin, robot):
    proxy = sdk_admin.service_principal_secrets_proxy
    (secret,) = proxy.list(robot[2])
    assert secret.secret_hash
    proxy.delete(robot[2], secret.id)
    assert list(proxy.list(robot[2])) == []


def test_users_come_and_go(sdk_admin):
    name = f"{uuid.uuid4().hex[:8]}@example.org"
    made = sdk_admin.users.create(user_name=name, display_name="A Guest")
    assert name in [user.user_name for user in sdk_admin.users.list()]
    assert sdk_admin.users.get(made.id).display_name == "A Guest"
    sdk_admin.users.delete(made.id)
    with pytest.raises(NotFound):
        sdk_admin.users.get(made.id)


def test_an_ordinary_user_may_not_administer(robot):
    client = WorkspaceClient(host=URL, client_id=robot[0], client_secret=robot[1])
    with pytest.raises(PermissionDenied, match="Only administrators"):
        client.users.create(user_name="x@example.org")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "UNAUTHENTICATED"),
        ({"Authorization": "Bearer nonsense"}, 403, "PERMISSION_DENIED"),
        ({"Authorization": "Digest x"}, 401, "UNAUTHENTICATED"),
    ],
)
def test_refusals(headers, status, code):
    answer = requests.get(f"{URL}/api/2.0/preview/scim/v2/Me", headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert answer.headers["x-request-id"]


def test_basic_with_the_user_name_token():
    answer = requests.get(f"{URL}/api/2.0/preview/scim/v2/Me", auth=("token", TOKEN), timeout=10)
    assert answer.status_code == 200
