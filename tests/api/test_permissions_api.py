"""Grants on endpoints and groups over HTTP."""

import httpx
import pytest

from penstock.domain.access import ADMINS, USERS, PermissionLevel
from penstock.domain.acl import Grantee, GranteeKind
from penstock.testing.serving import add_model

SCIM = "/api/2.0/preview/scim/v2"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
ENDPOINTS = "/api/2.0/serving-endpoints"
PERMISSIONS = "/api/2.0/permissions/serving-endpoints"


@pytest.fixture
async def endpoint(admin, store):
    """The address of an endpoint's permissions."""
    await add_model(store)
    served = {"entity_name": "main.default.guide", "entity_version": "1", "min_provisioned_throughput": 0}
    config = {"served_entities": [{**served, "max_provisioned_throughput": 100}]}
    made = await admin.post(ENDPOINTS, json={"name": "one", "config": config})
    return f"{PERMISSIONS}/{made.json()['id']}"


@pytest.fixture
async def team(admin):
    return (await admin.post(f"{SCIM}/Groups", json={"displayName": "team"})).json()


def entries(answer: httpx.Response) -> dict[str, str]:
    """Who has which level, from an answer."""
    found = {}
    for one in answer.json()["access_control_list"]:
        [name] = [value for key, value in one.items() if key.endswith("_name") and key != "display_name"]
        [permission] = one["all_permissions"]
        found[name] = permission["permission_level"]
    return found


def grants(*pairs):
    return {"access_control_list": [{**who, "permission_level": level} for who, level in pairs]}


USER, GROUP = {"user_name": "user@x.org"}, {"group_name": "team"}


async def test_a_new_endpoint_is_its_creators_and_the_administrators(admin, endpoint):
    body = (await admin.get(endpoint)).json()
    assert body["object_id"] == "/serving-endpoints/" + endpoint.rsplit("/", 1)[1]
    assert body["object_type"] == "serving-endpoint"
    own, inherited = body["access_control_list"]
    assert own == {
        "user_name": "admin@x.org",
        "display_name": "Admin",
        "all_permissions": [{"permission_level": "CAN_MANAGE", "inherited": False}],
    }
    assert inherited == {
        "group_name": "admins",
        "all_permissions": [{"permission_level": "CAN_MANAGE", "inherited": True, "inherited_from_object": ["/"]}],
    }


@pytest.mark.usefixtures("team")
async def test_patch_merges_and_put_replaces(admin, endpoint):
    kept = {"admin@x.org": "CAN_MANAGE", "admins": "CAN_MANAGE"}
    merged = await admin.patch(endpoint, json=grants((GROUP, "CAN_VIEW")))
    assert entries(merged) == {**kept, "team": "CAN_VIEW"}
    merged = await admin.patch(endpoint, json=grants((USER, "CAN_QUERY"), (GROUP, "CAN_MANAGE")))
    assert entries(merged) == {**kept, "team": "CAN_MANAGE", "user@x.org": "CAN_QUERY"}
    replaced = await admin.put(endpoint, json=grants((USER, "CAN_VIEW")))
    assert entries(replaced) == {**kept, "user@x.org": "CAN_VIEW"} == entries(await admin.get(endpoint))
    assert entries(await admin.put(endpoint, json={})) == kept


async def test_a_change_counts_at_once_for_both_planes(admin, user, endpoint, world):
    assert (await user.get(f"{ENDPOINTS}/one")).status_code == 403
    await admin.patch(endpoint, json=grants((USER, "CAN_MANAGE")))
    assert (await user.get(f"{ENDPOINTS}/one")).json()["permission_level"] == "CAN_MANAGE"
    told = world.table.permitted[endpoint.rsplit("/", 1)[1]]
    assert told.levels[Grantee(GranteeKind.USER, "user@x.org")] is PermissionLevel.CAN_MANAGE
    await admin.put(endpoint, json={})
    assert (await user.get(ENDPOINTS)).json() == {"endpoints": []}


async def test_levels_are_told_to_who_may_view(admin, user, endpoint):
    shown = (await admin.get(f"{endpoint}/permissionLevels")).json()["permission_levels"]
    assert [one["permission_level"] for one in shown] == list(PermissionLevel)
    assert all(one["description"] for one in shown)
    assert (await user.get(f"{endpoint}/permissionLevels")).status_code == 403


async def test_who_views_sees_the_grants_and_who_manages_changes_them(admin, user, endpoint):
    assert (await user.get(endpoint)).status_code == 403
    await admin.patch(endpoint, json=grants((USER, "CAN_QUERY")))
    assert (await user.get(endpoint)).status_code == 200
    for answer in (await user.put(endpoint, json={}), await user.patch(endpoint, json={})):
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (grants(({"group_name": "none"}, "CAN_VIEW")), 404, "there is no group_name 'none'"),
        (grants(({"user_name": "none"}, "CAN_VIEW")), 404, "there is no user_name 'none'"),
        (grants(({"service_principal_name": "user@x.org"}, "CAN_VIEW")), 404, "there is no service_principal_name"),
        (grants(({**USER, **GROUP}, "CAN_VIEW")), 400, "must name exactly one of"),
        (grants(({}, "CAN_VIEW")), 400, "must name exactly one of"),
        (grants((USER, "CAN_DANCE")), 400, "permission_level"),
        (grants((USER, "CAN_VIEW"), (USER, "CAN_VIEW")), 400, "twice"),
        (grants(({"user_name": "admin@x.org"}, "CAN_VIEW")), 400, "keeps CAN_MANAGE"),
    ],
)
async def test_what_cannot_be_granted_is_named(admin, endpoint, body, status, message):
    before = (await admin.get(endpoint)).json()
    for answer in (await admin.put(endpoint, json=body), await admin.patch(endpoint, json=body)):
        assert answer.status_code == status
        assert message in answer.json()["message"]
    assert (await admin.get(endpoint)).json() == before


async def test_an_endpoint_that_is_not_there_or_any_more(admin, endpoint):
    answer = await admin.get(f"{PERMISSIONS}/none")
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    await admin.delete(f"{ENDPOINTS}/one")
    assert (await admin.get(endpoint)).status_code == 404


async def test_who_gets_the_name_of_one_who_is_gone_gets_no_grants(admin, endpoint, team, world):
    new = {"userName": "n@x.org", "groups": [{"value": team["id"]}]}
    made = (await admin.post(f"{SCIM}/Users", json=new)).json()
    assert [group["display"] for group in made["groups"]] == ["team", "users"]
    await admin.put(endpoint, json=grants(({"user_name": "n@x.org"}, "CAN_MANAGE"), (GROUP, "CAN_QUERY")))
    await admin.delete(f"{SCIM}/Users/{made['id']}")
    await admin.delete(f"{SCIM}/Groups/{team['id']}")
    await admin.post(f"{SCIM}/Groups", json={"displayName": "team"})
    await admin.post(f"{SCIM}/Users", json={"userName": "n@x.org"})
    assert entries(await admin.get(endpoint)) == {"admin@x.org": "CAN_MANAGE", "admins": "CAN_MANAGE"}
    [told] = world.table.permitted.values()
    assert list(told.levels) == [Grantee(GranteeKind.USER, "admin@x.org")]


async def test_the_life_of_a_group(admin, user):
    made = await admin.post(f"{SCIM}/Groups", json={"displayName": "team", "members": [{"value": "2"}]})
    assert made.status_code == 201
    body = made.json()
    path = f"{SCIM}/Groups/{body['id']}"
    assert (body["displayName"], body["members"]) == ("team", [{"display": "User", "value": "2", "$ref": "Users/2"}])
    assert {"display": "team", "value": body["id"], "type": "direct", "$ref": f"Groups/{body['id']}"} in (
        await user.get(f"{SCIM}/Me")
    ).json()["groups"]
    assert (await admin.get(path)).json() == body
    listed = (await admin.get(f"{SCIM}/Groups", params={"filter": 'displayName eq "TEAM"'})).json()
    assert [one["id"] for one in listed["Resources"]] == [body["id"]]
    listed = (await admin.get(f"{SCIM}/Groups", params={"excludedAttributes": "members,meta"})).json()["Resources"]
    assert [one["displayName"] for one in listed] == [ADMINS, "team", USERS]
    assert "members" not in listed[0]
    replaced = await admin.put(path, json={"displayName": "team", "members": [{"value": "1"}]})
    assert [one["value"] for one in replaced.json()["members"]] == ["1"]
    assert "team" not in str((await user.get(f"{SCIM}/Me")).json())
    assert (await admin.delete(path)).json() == {}
    assert (await admin.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("operations", "members"),
    [
        ([{"op": "add", "path": "members", "value": [{"value": "2"}]}], ["1", "2"]),
        ([{"op": "add", "value": {"members": [{"value": "2"}]}}], ["1", "2"]),
        ([{"op": "remove", "path": 'members[value eq "1"]'}], []),
        ([{"op": "remove", "path": "members"}], []),
        ([{"op": "replace", "path": "members", "value": [{"value": "2"}]}], ["2"]),
        (
            [
                {"op": "remove", "path": "members", "value": [{"value": "1"}]},
                {"op": "add", "path": "members", "value": [{"value": "1"}, {"value": "2"}]},
                {"op": "replace", "path": "displayName", "value": "team"},
            ],
            ["1", "2"],
        ),
    ],
)
async def test_a_group_is_patched(admin, team, operations, members):
    path = f"{SCIM}/Groups/{team['id']}"
    await admin.put(path, json={"displayName": "team", "members": [{"value": "1"}]})
    answer = await admin.patch(path, json={"Operations": operations})
    assert [one["value"] for one in answer.json()["members"]] == members


@pytest.mark.parametrize(
    ("group", "operation", "message"),
    [
        ("team", {"op": "replace", "path": "displayName", "value": "crew"}, "cannot be renamed"),
        ("team", {"op": "replace", "path": "roles", "value": []}, "'replace' of 'roles' is not supported"),
        ("team", {"op": "move", "path": "members"}, "op must be add, remove or replace"),
        ("team", {"op": "add", "path": "members", "value": [{"value": "9"}]}, "no user or service principal with id"),
        ("team", {"op": "add", "path": "members", "value": [{"display": "x"}]}, "must have the id"),
        ("team", {"op": "add", "path": "members", "value": [1]}, "must be a list of {value}"),
        ("users", {"op": "remove", "path": 'members[value eq "2"]'}, "everybody is in the group 'users'"),
        ("admins", {"op": "replace", "path": "members", "value": []}, "last active member of the group 'admins'"),
    ],
)
async def test_what_cannot_be_done_with_a_group(admin, team, group, operation, message):
    group_id = {"users": "12", "admins": "11"}.get(group, team["id"])
    answer = await admin.patch(f"{SCIM}/Groups/{group_id}", json={"Operations": [operation]})
    assert answer.status_code == 400
    assert message in answer.json()["detail"]


async def test_the_groups_that_are_always_there_stay(admin):
    for group_id in ("11", "12"):
        assert (await admin.delete(f"{SCIM}/Groups/{group_id}")).status_code == 400


async def test_errors_have_scims_shape_beside_our_own(admin, user, anonymous, team):
    answers = {
        (404, None): await admin.get(f"{SCIM}/Users/none"),
        (409, "uniqueness"): await admin.post(f"{SCIM}/Groups", json={"displayName": team["displayName"]}),
        (400, "invalidValue"): await admin.post(f"{SCIM}/Users", json={}),
        (400, "invalidFilter"): await admin.get(f"{SCIM}/Groups", params={"filter": "x"}),
        (400, "invalidSyntax"): await admin.post(f"{SCIM}/Groups", content=b"{"),
        (403, None): await user.get(f"{SCIM}/Groups"),
        (401, None): await anonymous.get(f"{SCIM}/Me"),
    }
    for (status, kind), answer in answers.items():
        body = answer.json()
        assert (answer.status_code, body["status"], body.get("scimType")) == (status, str(status), kind)
        assert body["schemas"] == [ERROR]
        assert body["detail"] == body["message"]


async def test_a_principal_is_replaced_and_keeps_what_is_not_said(admin, user, team):
    wanted = {"userName": "user@x.org", "displayName": "Ada", "groups": [{"value": team["id"]}]}
    answer = (await admin.put(f"{SCIM}/Users/2", json=wanted)).json()
    assert (answer["displayName"], answer["active"]) == ("Ada", True)
    assert (await admin.put(f"{SCIM}/Users/2", json={"active": False})).json()["displayName"] == "Ada"
    assert (await user.get(f"{SCIM}/Me")).status_code == 403
    answer = (await admin.put(f"{SCIM}/Users/2", json={"userName": "user@x.org"})).json()
    assert (answer["active"], len(answer["groups"])) == (False, 2)
    answer = await admin.put(f"{SCIM}/Users/2", json={"userName": "other@x.org"})
    assert answer.json()["message"] == "userName cannot be changed."
    robot = (await admin.post(f"{SCIM}/ServicePrincipals", json={"displayName": "Robot"})).json()
    path = f"{SCIM}/ServicePrincipals/{robot['id']}"
    named = {"displayName": "Robby", "applicationId": robot["applicationId"]}
    assert (await admin.put(path, json=named)).json()["displayName"] == "Robby"
    assert (await admin.put(path, json={"applicationId": "x"})).status_code == 400


async def test_a_users_two_names_make_one(admin):
    new = {"userName": "n@x.org", "name": {"givenName": "Ada", "familyName": "Byron"}}
    assert (await admin.post(f"{SCIM}/Users", json=new)).json()["displayName"] == "Ada Byron"
