"""Grants on the catalogue with the unmodified databricks-sdk."""

import os
import uuid

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import PermissionDenied
from databricks.sdk.service.catalog import PermissionsChange, Privilege, SecurableType

URL = os.environ.get("PENSTOCK_URL", "http://127.0.0.1:8080").rstrip("/")
TOKEN = os.environ.get("PENSTOCK_TOKEN", "")


@pytest.fixture(scope="module")
def sdk_admin():
    return WorkspaceClient(host=URL, token=TOKEN)


@pytest.fixture
def robot(sdk_admin):
    """A service principal: its application id, and a client of it."""
    made = sdk_admin.service_principals.create(display_name=f"robot-{uuid.uuid4().hex[:8]}")
    secret = sdk_admin.service_principal_secrets_proxy.create(made.id)
    yield (
        made.application_id,
        WorkspaceClient(host=URL, auth_type="oauth-m2m", client_id=made.application_id, client_secret=secret.secret),
    )
    sdk_admin.service_principals.delete(made.id)


@pytest.fixture
def model(sdk_admin):
    """The full name of a model in a catalog of its own, from which everybody's grants are taken."""
    catalog = sdk_admin.catalogs.create(f"grants_{uuid.uuid4().hex[:8]}").name
    sdk_admin.schemas.create("default", catalog)
    made = sdk_admin.registered_models.create(catalog_name=catalog, schema_name="default", name="guide")
    open_to_all = sdk_admin.grants.get("catalog", catalog, principal="users").privilege_assignments[0].privileges
    closed = PermissionsChange(principal="users", remove=open_to_all)
    assert not sdk_admin.grants.update("catalog", catalog, changes=[closed]).privilege_assignments
    yield made.full_name
    sdk_admin.catalogs.delete(catalog, force=True)


def test_a_model_is_read_by_whom_it_was_granted_to(sdk_admin, robot, model):
    name, client = robot
    catalog, schema, _ = model.split(".")
    with pytest.raises(PermissionDenied, match="USE_CATALOG"):
        client.registered_models.get(model)
    use = [Privilege.USE_CATALOG, Privilege.USE_SCHEMA]
    sdk_admin.grants.update("catalog", catalog, changes=[PermissionsChange(principal=name, add=use)])
    with pytest.raises(PermissionDenied, match="EXECUTE"):
        client.registered_models.get(model)
    change = PermissionsChange(principal=name, add=[Privilege.EXECUTE])
    left = sdk_admin.grants.update("function", model, changes=[change])
    assert [(one.principal, one.privileges) for one in left.privilege_assignments] == [(name, [Privilege.EXECUTE])]
    assert client.registered_models.get(model).full_name == model
    with pytest.raises(PermissionDenied):
        client.registered_models.update(model, comment="mine")
    [given] = client.grants.get("function", model).privilege_assignments
    assert given.principal == name
    [whole] = client.grants.get_effective("function", model, max_results=0).privilege_assignments
    origins = {one.privilege: (one.inherited_from_type, one.inherited_from_name) for one in whole.privileges}
    assert origins == {
        Privilege.EXECUTE: (None, None),
        Privilege.USE_CATALOG: (SecurableType.CATALOG, catalog),
        Privilege.USE_SCHEMA: (SecurableType.CATALOG, catalog),
    }
    assert [one.principal for one in client.grants.list("function", model)] == [name]
    assert [one.principal for one in client.grants.list_effective("schema", f"{catalog}.{schema}")] == [name]


def test_ownership_is_given_away(sdk_admin, robot, model):
    name, client = robot
    catalog = model.split(".")[0]
    sdk_admin.catalogs.update(catalog, owner=name)
    assert client.registered_models.update(model, comment="mine").comment == "mine"
    client.grants.update(
        "function", model, changes=[PermissionsChange(principal="account users", add=[Privilege.ALL_PRIVILEGES])]
    )
