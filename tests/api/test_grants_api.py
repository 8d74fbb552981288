"""Grants on the catalogue by the wire: read, changed, and what follows from them on every kind of route."""

import httpx
import pytest

UC = "/api/2.1/unity-catalog"
NAME = "main.default.guide"
ML = "/api/2.0/mlflow/unity-catalog"
FILE = "/Models/main/default/guide/1/a.txt"


async def done(answer: httpx.Response):
    assert answer.status_code in (200, 204), answer.text
    return answer.json() if answer.content else {}


@pytest.fixture
async def model(admin):
    """The administrator's, with a version that has a file; its catalog is open to nobody."""
    await done(await admin.post(f"{ML}/registered-models/create", json={"name": NAME}))
    await done(await admin.post(f"{ML}/model-versions/create", json={"name": NAME, "source": "x"}))
    await done(await admin.put(f"/api/2.0/fs/files{FILE}", content=b"abc"))
    await grant(admin, "catalog", "main", "users", remove=["ALL"])


async def grant(client, kind, name, principal, add=(), *, remove=()):
    if list(remove) == ["ALL"]:
        found = await done(await client.get(f"{UC}/permissions/{kind}/{name}", params={"principal": principal}))
        remove = found["privilege_assignments"][0]["privileges"]
    change = {"principal": principal, "add": list(add), "remove": list(remove)}
    return await done(await client.patch(f"{UC}/permissions/{kind}/{name}", json={"changes": [change]}))


READS = [
    ("GET", f"{UC}/models/{NAME}", {}),
    ("GET", f"{UC}/models/{NAME}/versions", {}),
    ("GET", f"{UC}/models/{NAME}/versions/1", {}),
    ("GET", f"{ML}/registered-models/get", {"params": {"name": NAME}}),
    ("GET", f"{ML}/model-versions/get", {"params": {"name": NAME, "version": "1"}}),
    ("GET", f"/api/2.0/fs/files{FILE}", {}),
    ("GET", "/api/2.0/fs/directories/Models/main/default/guide/1", {}),
    ("POST", "/api/2.0/fs/create-download-url", {"json": {"path": FILE}}),
    ("POST", f"{ML}/model-versions/emit-lineage", {"json": {"name": NAME, "version": "1"}}),
]
CHANGES = [
    ("PATCH", f"{UC}/models/{NAME}", {"json": {"comment": "c"}}),
    ("PUT", f"{UC}/models/{NAME}/aliases/best", {"json": {"version_num": 1}}),
    ("POST", f"{ML}/registered-models/alias", {"json": {"name": NAME, "alias": "a", "version": "1"}}),
    ("POST", f"{ML}/model-versions/create", {"json": {"name": NAME, "source": "s"}}),
    ("PATCH", f"{ML}/model-versions/update", {"json": {"name": NAME, "version": "1", "description": "d"}}),
    ("PUT", f"/api/2.0/fs/files{FILE}", {"content": b"def"}),
    ("PUT", "/api/2.0/fs/directories/Models/main/default/guide/1/d", {}),
    ("POST", "/api/2.0/fs/create-upload-url", {"json": {"path": FILE}}),
]
TAGS = [
    ("POST", f"{ML}/registered-models/set-tag", {"json": {"name": NAME, "key": "k", "value": "v"}}),
    ("POST", f"{ML}/model-versions/set-tag", {"json": {"name": NAME, "version": "1", "key": "k", "value": "v"}}),
    ("PATCH", f"{UC}/securable-tags/FUNCTION/{NAME}", {"json": {"changes": {"remove": ["k"]}}}),
]
USES = ["USE_CATALOG", "USE_SCHEMA"]


@pytest.mark.parametrize(
    ("calls", "privilege"), [(READS, "EXECUTE"), (CHANGES, "MODIFY"), (TAGS, "APPLY_TAG"), (READS, "ALL_PRIVILEGES")]
)
async def test_each_call_needs_its_privilege_and_use_of_the_parents(model, admin, user, calls, privilege):
    async def all_refused(lacking):
        for method, path, more in calls:
            answer = await user.request(method, path, **more)
            assert answer.status_code == 403, (method, path, answer.text)
            assert answer.json()["error_code"] == "PERMISSION_DENIED"
            assert f"user@x.org does not have {lacking}" in answer.json()["message"]

    await all_refused("USE_CATALOG on catalog 'main'")
    await grant(admin, "function", NAME, "user@x.org", [privilege])
    await all_refused("USE_CATALOG on catalog 'main'")
    await grant(admin, "catalog", "main", "users", USES)
    for method, path, more in calls:
        answer = await user.request(method, path, **more)
        assert answer.status_code in (200, 204), (method, path, answer.text)
    await grant(admin, "function", NAME, "user@x.org", remove=[privilege])
    wanted = "EXECUTE" if privilege == "ALL_PRIVILEGES" else privilege
    await all_refused(f"{wanted} on model '{NAME}'")


async def test_creating_needs_a_privilege_on_the_parent(model, admin, user):
    await grant(admin, "catalog", "main", "users", USES)
    new = {"name": "main.default.other"}
    answer = await user.post(f"{ML}/registered-models/create", json=new)
    assert "CREATE_MODEL on schema 'main.default'" in answer.json()["message"]
    answer = await user.post(f"{UC}/schemas", json={"catalog_name": "main", "name": "s2"})
    assert "CREATE_SCHEMA on catalog 'main'" in answer.json()["message"]
    assert (await user.post(f"{ML}/registered-models/create", json={"name": "main.s2.m"})).status_code == 403
    await grant(admin, "schema", "main.default", "user@x.org", ["CREATE_MODEL"])
    await done(await user.post(f"{ML}/registered-models/create", json=new))
    await done(await user.post(f"{UC}/catalogs", json={"name": "mine"}))
    answer = await user.patch(f"{UC}/models/main.default.other", json={"new_name": "main.s2.m"})
    assert answer.status_code == 403


async def test_lists_leave_out_what_is_not_seen(model, admin, user):
    await done(await user.post(f"{ML}/registered-models/create", json={"name": "mine.default.m"}))
    assert [one["name"] for one in (await done(await user.get(f"{UC}/catalogs")))["catalogs"]] == ["mine"]
    models = (await done(await user.get(f"{UC}/models")))["registered_models"]
    assert [one["full_name"] for one in models] == ["mine.default.m"]
    assert (await done(await user.get(f"{ML}/model-versions/search")))["model_versions"] == []
    for path, query in ((f"{UC}/schemas", {"catalog_name": "main"}), (f"{UC}/schemas/main.default", {})):
        assert (await user.get(path, params=query)).status_code == 403
    await grant(admin, "catalog", "main", "users", [*USES, "EXECUTE"])
    assert len((await done(await user.get(f"{UC}/models")))["registered_models"]) == 2


async def test_who_may_grant(model, admin, user):
    answer = await user.patch(f"{UC}/permissions/function/{NAME}", json={"changes": []})
    assert answer.status_code == 403
    assert (await user.get(f"{UC}/permissions/function/{NAME}")).status_code == 403
    await grant(admin, "catalog", "main", "user@x.org", [*USES, "MANAGE"])
    await grant(user, "function", NAME, "user@x.org", ["EXECUTE"])
    await done(await admin.patch(f"{UC}/catalogs/main", json={"owner": "users"}))
    await grant(user, "catalog", "main", "users", ["EXECUTE"])


async def test_what_is_asked_wrongly_is_named(model, admin):
    wrong = [
        ("volume", NAME, {"changes": []}, 400, "securable_type"),
        ("function", "main.default.none", {"changes": []}, 404, "does not exist"),
        ("function", NAME, {"changes": [{"principal": "nobody", "add": ["EXECUTE"]}]}, 404, "no user"),
        ("function", NAME, {"changes": [{"principal": "users", "add": ["SELECT"]}]}, 400, "changes.add"),
        ("function", NAME, {"changes": [{"principal": "users", "add": ["USE_CATALOG"]}]}, 400, "cannot be granted"),
    ]
    for kind, name, body, status, said in wrong:
        answer = await admin.patch(f"{UC}/permissions/{kind}/{name}", json=body)
        assert (answer.status_code, said in answer.json()["message"]) == (status, True), answer.text
    for query in ({"max_results": 10}, {"max_results": -1}, {"page_token": "x"}):
        assert (await admin.get(f"{UC}/permissions/function/{NAME}", params=query)).status_code == 400


async def test_a_new_catalog_is_open_and_everybody_is_known_by_the_platforms_name(admin):
    await done(await admin.post(f"{UC}/catalogs", json={"name": "c"}))
    found = await done(await admin.get(f"{UC}/permissions/catalog/c", params={"principal": "account users"}))
    [given] = found["privilege_assignments"]
    assert given["principal"] == "users"
    assert {"USE_CATALOG", "EXECUTE", "CREATE_MODEL"} <= set(given["privileges"])


async def test_an_endpoint_needs_execute_of_who_makes_it(model, admin, user):
    entity = {
        "entity_name": NAME,
        "entity_version": "1",
        "min_provisioned_throughput": 0,
        "max_provisioned_throughput": 100,
    }
    body = {"name": "e", "config": {"served_entities": [entity]}}
    answer = await user.post("/api/2.0/serving-endpoints", json=body)
    assert answer.status_code == 403, answer.text
    assert "USE_CATALOG on catalog 'main'" in answer.json()["message"]
    await grant(admin, "catalog", "main", "users", USES)
    answer = await user.post("/api/2.0/serving-endpoints", json=body)
    assert "EXECUTE on model" in answer.json()["message"]
    await grant(admin, "function", NAME, "users", ["EXECUTE"])
    answer = await user.post("/api/2.0/serving-endpoints", json=body)
    assert answer.status_code != 403, answer.text


async def test_grants_of_who_and_what_is_gone_are_gone(model, admin, store):
    await grant(admin, "function", NAME, "user@x.org", ["EXECUTE"])
    await done(await admin.delete("/api/2.0/preview/scim/v2/Users/2"))
    assert (await done(await admin.get(f"{UC}/permissions/function/{NAME}")))["privilege_assignments"] == []
    await grant(admin, "function", NAME, "users", ["EXECUTE"])
    await done(await admin.delete(f"{UC}/models/{NAME}"))
    assert not any(store.rows.grants.by_id.values())


async def test_effective_grants_name_their_origin(model, admin):
    await grant(admin, "schema", "main.default", "users", ["EXECUTE"])
    await grant(admin, "registered_model", NAME, "users", ["MODIFY"])
    for path, key in (
        ("effective-permissions", "privilege_assignments"),
        ("effective-privilege-assignments", "effective_privilege_assignments"),
    ):
        found = await done(await admin.get(f"{UC}/{path}/function/{NAME}"))
        assert found[key] == [
            {
                "principal": "users",
                "privileges": [
                    {"privilege": "MODIFY"},
                    {
                        "privilege": "EXECUTE",
                        "inherited_from_type": "SCHEMA",
                        "inherited_from_name": "main.default",
                    },
                ],
            }
        ]
