"""Secrets as databricks-sdk keeps them."""

import base64
import os
import uuid

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, InvalidParameterValue, NotFound, PermissionDenied, ResourceAlreadyExists
from databricks.sdk.service.workspace import (
    AclPermission,
    AzureKeyVaultSecretScopeMetadata,
    ScopeBackendType,
)

URL = os.environ.get("PENSTOCK_URL", "http://127.0.0.1:8080").rstrip("/")
TOKEN = os.environ.get("PENSTOCK_TOKEN", "")


@pytest.fixture(scope="module")
def sdk_admin():
    return WorkspaceClient(host=URL, token=TOKEN)


@pytest.fixture(scope="module")
def robot(sdk_admin):
    """A service principal's client, with its name."""
    made = sdk_admin.service_principals.create(display_name=f"robot-{uuid.uuid4().hex[:8]}")
    secret = sdk_admin.service_principal_secrets_proxy.create(made.id)
    # Other tests' clients read a token from the environment, which would be a second way to sign in.
    sign_in = {"auth_type": "oauth-m2m", "client_id": made.application_id, "client_secret": secret.secret}
    yield WorkspaceClient(host=URL, **sign_in), made.application_id
    sdk_admin.service_principals.delete(made.id)


@pytest.fixture
def scope(sdk_admin):
    name = f"Scope-{uuid.uuid4().hex[:8]}"
    sdk_admin.secrets.create_scope(name)
    yield name
    sdk_admin.secrets.delete_scope(name)


def test_secrets_are_put_listed_read_and_deleted(sdk_admin, scope):
    secrets = sdk_admin.secrets
    secrets.put_secret(scope, "text", string_value="sk-ünïcode")
    secrets.put_secret(scope, "bytes", bytes_value=base64.b64encode(b"\x00\xff").decode())
    listed = {one.key: one.last_updated_timestamp for one in secrets.list_secrets(scope)}
    assert set(listed) == {"text", "bytes"}
    assert all(time > 1_600_000_000_000 for time in listed.values())
    assert base64.b64decode(secrets.get_secret(scope, "text").value).decode() == "sk-ünïcode"
    assert base64.b64decode(secrets.get_secret(scope, "bytes").value) == b"\x00\xff"
    secrets.put_secret(scope.upper(), "TEXT", string_value="second")
    found = secrets.get_secret(scope.lower(), "text")
    assert (found.key, base64.b64decode(found.value)) == ("text", b"second")
    secrets.delete_secret(scope, "text")
    assert [one.key for one in secrets.list_secrets(scope)] == ["bytes"]
    for missing in (secrets.get_secret, secrets.delete_secret):
        with pytest.raises(NotFound, match="Secret does not exist with scope"):
            missing(scope, "text")


def test_dbutils_reads_secrets(sdk_admin, scope):
    sdk_admin.secrets.put_secret(scope, "key", string_value="sk-1")
    assert sdk_admin.dbutils.secrets.get(scope, "key") == "sk-1"
    assert scope in [one.name for one in sdk_admin.dbutils.secrets.listScopes()]


def test_scopes_are_made_listed_and_deleted(sdk_admin, scope):
    (mine,) = [one for one in sdk_admin.secrets.list_scopes() if one.name == scope]
    assert mine.backend_type is ScopeBackendType.DATABRICKS
    with pytest.raises(ResourceAlreadyExists, match="already exists"):
        sdk_admin.secrets.create_scope(scope.upper(), scope_backend_type=ScopeBackendType.DATABRICKS)
    with pytest.raises(InvalidParameterValue, match="AZURE_KEYVAULT is not supported"):
        sdk_admin.secrets.create_scope(
            "vault",
            scope_backend_type=ScopeBackendType.AZURE_KEYVAULT,
            backend_azure_keyvault=AzureKeyVaultSecretScopeMetadata(resource_id="r", dns_name="d"),
        )
    with pytest.raises(InvalidParameterValue, match="scope must have 1 to 128"):
        sdk_admin.secrets.create_scope("two words")
    with pytest.raises(NotFound, match="Scope none-such does not exist!"):
        sdk_admin.secrets.delete_scope("none-such")
    answer = requests.post(
        f"{URL}/api/2.0/secrets/scopes/create", json={"scope": scope}, headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=5,
    )  # fmt: skip
    assert (answer.status_code, answer.json()["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")


def test_acls_say_who_may_do_what(sdk_admin, robot, scope):
    client, name = robot
    secrets = sdk_admin.secrets
    me = sdk_admin.current_user.me().user_name
    secrets.put_secret(scope, "key", string_value="sk-1")
    with pytest.raises(PermissionDenied, match=f"does not have READ permission on scope {scope}"):
        client.secrets.get_secret(scope, "key")
    secrets.put_acl(scope, name, AclPermission.READ)
    assert client.secrets.get_secret(scope, "key").key == "key"
    with pytest.raises(PermissionDenied, match="WRITE"):
        client.secrets.put_secret(scope, "key", string_value="sk-2")
    secrets.put_acl(scope, "users", AclPermission.WRITE)
    client.secrets.put_secret(scope, "key", string_value="sk-2")
    with pytest.raises(PermissionDenied, match="MANAGE"):
        client.secrets.list_acls(scope)
    items = {item.principal: item.permission for item in secrets.list_acls(scope)}
    assert items == {me: AclPermission.MANAGE, name: AclPermission.READ, "users": AclPermission.WRITE}
    assert secrets.get_acl(scope, name).permission is AclPermission.READ
    secrets.delete_acl(scope, name)
    for missing in (secrets.get_acl, secrets.delete_acl):
        with pytest.raises(NotFound):
            missing(scope, name)
    with pytest.raises(InvalidParameterValue, match="no user, service principal or group 'nobody'"):
        secrets.put_acl(scope, "nobody", AclPermission.READ)


def test_a_scope_that_all_users_manage(sdk_admin, robot):
    client, _ = robot
    name = f"all-{uuid.uuid4().hex[:8]}"
    client.secrets.create_scope(name, initial_manage_principal="users")
    assert [(item.principal, item.permission.value) for item in client.secrets.list_acls(name)] == [("users", "MANAGE")]
    client.secrets.delete_scope(name)
    with pytest.raises(BadRequest, match="initial_manage_principal may only be 'users'"):
        client.secrets.create_scope(name, initial_manage_principal="admins")
