"""The catalogue over HTTP, in both dialects: shapes, statuses, pages."""

import pytest

MLFLOW = "/api/2.0/mlflow/unity-catalog"
UC = "/api/2.1/unity-catalog"
NAME = "main.default.guide"


def error(answer, status, code):
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
    return answer.json()["message"]


async def post(client, path, **body):
    return await client.post(path, json=body)


async def make(client, *, finalize=True, name=NAME, **more):
    await post(client, f"{MLFLOW}/registered-models/create", name=name)
    answer = await post(client, f"{MLFLOW}/model-versions/create", name=name, source="models:/m-1", **more)
    version = answer.json()["model_version"]
    if finalize:
        answer = await post(client, f"{MLFLOW}/model-versions/finalize", name=name, version=version["version"])
        assert answer.status_code == 200, answer.text
    return version


async def test_mlflow_models(admin):
    body = {"name": "Main.Default.Guide", "description": "d", "tags": [{"key": "k", "value": "v"}]}
    made = (await admin.post(f"{MLFLOW}/registered-models/create", json=body)).json()["registered_model"]
    now = made["creation_timestamp"]
    assert made == {
        "name": NAME, "creation_timestamp": now, "last_updated_timestamp": now, "user_id": "admin@x.org",
        "description": "d", "aliases": [], "tags": [{"key": "k", "value": "v"}],
    }  # fmt: skip
    again = await admin.post(f"{MLFLOW}/registered-models/create", json=body)
    assert "already exists" in error(again, 409, "RESOURCE_ALREADY_EXISTS")
    got = await admin.get(f"{MLFLOW}/registered-models/get", params={"name": NAME.upper()})
    assert got.json() == {"registered_model": made}
    missing = await admin.get(f"{MLFLOW}/registered-models/get", params={"name": "a.b.c"})
    assert "a.b.c" in error(missing, 404, "RESOURCE_DOES_NOT_EXIST")
    two = await post(admin, f"{MLFLOW}/registered-models/create", name="a.b")
    assert "specify all three levels" in error(two, 400, "INVALID_PARAMETER_VALUE")
    job = await post(admin, f"{MLFLOW}/registered-models/create", name="a.b.c", deployment_job_id="7")
    assert "deployment_job_id" in error(job, 400, "INVALID_PARAMETER_VALUE")
    renamed = await admin.patch(f"{MLFLOW}/registered-models/update", json={"name": NAME, "new_name": "main.x.y"})
    assert renamed.json()["registered_model"]["name"] == "main.x.y"
    deleted = await admin.request("DELETE", f"{MLFLOW}/registered-models/delete", json={"name": "main.x.y"})
    assert (deleted.status_code, deleted.json()) == (200, {})


async def test_mlflow_versions(admin):
    version = await make(
        admin, finalize=False, run_id="r1", feature_deps="", description="d", run_tracking_server_id="12",
        model_id="m-1", tags=[{"key": "k"}], model_version_dependencies=[{"type": "T", "name": "n"}],
    )  # fmt: skip
    now = version["creation_timestamp"]
    assert version == {
        "name": NAME, "version": "1", "creation_timestamp": now, "last_updated_timestamp": now,
        "user_id": "admin@x.org", "description": "d", "source": "models:/m-1", "run_id": "r1",
        "run_tracking_server_id": "12", "model_id": "m-1", "status": "PENDING_REGISTRATION", "status_message": "",
        "storage_location": "penstock:/Models/main/default/guide/1", "aliases": [],
        "tags": [{"key": "k", "value": ""}],
    }  # fmt: skip
    one = {"name": NAME, "version": "1"}
    for operation in ("READ", "READ_WRITE"):
        body = {**one, "operation": f"MODEL_VERSION_OPERATION_{operation}"}
        answer = await admin.post(f"{MLFLOW}/model-versions/generate-temporary-credentials", json=body)
        assert answer.json()["credentials"]["storage_mode"] == "DEFAULT_STORAGE"
        assert answer.json()["credentials"]["expiration_time"] > now
    done = (await admin.post(f"{MLFLOW}/model-versions/finalize", json=one)).json()["model_version"]
    assert (done["status"], done["status_message"]) == ("READY", "The version has no files.")
    body = {**one, "operation": "MODEL_VERSION_OPERATION_READ_WRITE"}
    answer = await admin.post(f"{MLFLOW}/model-versions/generate-temporary-credentials", json=body)
    error(answer, 409, "RESOURCE_CONFLICT")
    body["operation"] = "SOMETHING"
    answer = await admin.post(f"{MLFLOW}/model-versions/generate-temporary-credentials", json=body)
    assert "operation must be" in error(answer, 400, "INVALID_PARAMETER_VALUE")
    uri = await admin.get(f"{MLFLOW}/model-versions/get-download-uri", params=one)
    assert uri.json() == {"artifact_uri": "penstock:/Models/main/default/guide/1"}
    assert (await admin.post(f"{MLFLOW}/model-versions/emit-lineage", json=one)).json() == {}
    for number in ("2", "x", "0"):
        answer = await admin.get(f"{MLFLOW}/model-versions/get", params={"name": NAME, "version": number})
        error(
            answer,
            404 if number == "2" else 400,
            "RESOURCE_DOES_NOT_EXIST" if number == "2" else "INVALID_PARAMETER_VALUE",
        )


async def test_the_flag_tells_clients_to_use_signed_addresses(user):
    answer = await user.get(f"{MLFLOW}/registered-models:is-databricks-sdk-models-artifact-repository-enabled")
    assert answer.json() == {"is_databricks_sdk_models_artifact_repository_enabled": False}


async def test_aliases_and_tags_in_mlflows_dialect(user):
    await make(user)
    body = {"name": NAME, "alias": "Best", "version": "1"}
    assert (await user.post(f"{MLFLOW}/registered-models/alias", json=body)).json() == {}
    found = await user.get(f"{MLFLOW}/registered-models/alias", params={"name": NAME, "alias": "best"})
    assert found.json()["model_version"]["aliases"] == [{"alias": "best", "version": "1"}]
    model = (await user.get(f"{MLFLOW}/registered-models/get", params={"name": NAME})).json()["registered_model"]
    assert model["aliases"] == [{"alias": "best", "version": "1"}]
    await user.request("DELETE", f"{MLFLOW}/registered-models/alias", json={"name": NAME, "alias": "best"})
    found = await user.get(f"{MLFLOW}/registered-models/alias", params={"name": NAME, "alias": "best"})
    assert "no alias" in error(found, 404, "RESOURCE_DOES_NOT_EXIST")
    for kind, more in (("registered-models", {}), ("model-versions", {"version": "1"})):
        await post(user, f"{MLFLOW}/{kind}/set-tag", name=NAME, key="a", value="1", **more)
        await post(user, f"{MLFLOW}/{kind}/set-tag", name=NAME, key="b", value="2", **more)
        await user.request("DELETE", f"{MLFLOW}/{kind}/delete-tag", json={"name": NAME, "key": "a", **more})
        found = (await user.get(f"{MLFLOW}/{kind}/get", params={"name": NAME, **more})).json()
        assert next(iter(found.values()))["tags"] == [{"key": "b", "value": "2"}]


async def test_searches_come_in_pages(user):
    for name in ("m.s.c", "m.s.a", "m.s.b"):
        await make(user, name=name)
        await make(user, name=name, run_id=f"run-{name[-1]}")
    names, token = [], ""
    while True:
        answer = await user.get(f"{MLFLOW}/registered-models/search", params={"max_results": 2, "page_token": token})
        names += [model["name"] for model in answer.json()["registered_models"]]
        token = answer.json()["next_page_token"]
        if not token:
            break
    assert names == ["m.s.a", "m.s.b", "m.s.c"]
    found, token = [], ""
    while True:
        params = {"filter": "", "max_results": 4, "page_token": token}
        answer = await user.get(f"{MLFLOW}/model-versions/search", params=params)
        found += [(version["name"][-1], version["version"]) for version in answer.json()["model_versions"]]
        token = answer.json()["next_page_token"]
        if not token:
            break
    assert found == [("a", "2"), ("a", "1"), ("b", "2"), ("b", "1"), ("c", "2"), ("c", "1")]
    for text, count in (("name='m.s.a'", 2), ("run_id='run-b'", 1), ("name='M.S.A' and run_id='run-b'", 0)):
        answer = await user.get(f"{MLFLOW}/model-versions/search", params={"filter": text, "max_results": 10000})
        assert len(answer.json()["model_versions"]) == count
    wrong = ({"filter": "x"}, {"page_token": "!"}, {"max_results": -1}, {"order_by": "name"}, {"page_token": "WzFd"})
    for params in wrong:
        answer = await user.get(f"{MLFLOW}/model-versions/search", params=params)
        assert next(iter(params)) in error(answer, 400, "INVALID_PARAMETER_VALUE")


async def test_native_models_and_versions(admin):
    body = {"name": "Guide", "catalog_name": "main", "schema_name": "default", "comment": "c"}
    made = (await admin.post(f"{UC}/models", json=body)).json()
    assert (made["full_name"], made["name"], made["comment"], made["owner"]) == (NAME, "guide", "c", "admin@x.org")
    assert len(made["id"]) == 32
    answer = await admin.post(f"{UC}/models", json={**body, "storage_location": "s3://x"})
    assert "storage_location" in error(answer, 400, "INVALID_PARAMETER_VALUE")
    body = {
        "model_name": "guide", "catalog_name": "main", "schema_name": "default", "source": "x", "run_id": "r",
        "model_version_dependencies": {"dependencies": [{"connection": {"connection_name": "c"}}]},
        "run_tracking_server_id": "77", "model_id": "m-1",
    }  # fmt: skip
    version = (await admin.post(f"{UC}/models/versions", json=body)).json()
    assert (version["version"], version["status"], version["run_workspace_id"]) == (1, "PENDING_REGISTRATION", 77)
    ask = {**body, "version": 1, "operation": "READ_WRITE_MODEL_VERSION"}
    answer = await admin.post(f"{UC}/temporary-model-version-credentials", json=ask)
    assert answer.json()["storage_mode"] == "DEFAULT_STORAGE"
    assert (await admin.patch(f"{UC}/models/{NAME}/versions/1/finalize")).json()["status"] == "READY"
    assert (await admin.patch(f"{UC}/models/{NAME}/versions/1", json={"comment": "n"})).json()["comment"] == "n"
    listed = (await admin.get(f"{UC}/models/{NAME}/versions")).json()
    assert [found["version"] for found in listed["model_versions"]] == [1]
    answer = await admin.put(f"{UC}/models/{NAME}/aliases/Best", json={"version_num": 1})
    assert answer.json() == {"alias_name": "best", "version_num": 1, "model_name": "guide"}
    assert (await admin.get(f"{UC}/models/{NAME}/aliases/best")).json()["version"] == 1
    model = (await admin.get(f"{UC}/models/{NAME}", params={"include_aliases": "true"})).json()
    assert model["aliases"] == [{"alias_name": "best", "version_num": 1, "model_name": "guide"}]
    assert "aliases" not in (await admin.get(f"{UC}/models/{NAME}", params={"include_aliases": "false"})).json()
    assert (await admin.delete(f"{UC}/models/{NAME}/aliases/best")).json() == {}
    renamed = await admin.patch(f"{UC}/models/{NAME}", json={"new_name": "atlas", "owner": "bob@x.org"})
    assert (renamed.json()["full_name"], renamed.json()["owner"]) == ("main.default.atlas", "bob@x.org")
    assert (await admin.delete(f"{UC}/models/main.default.atlas/versions/1")).json() == {}
    assert (await admin.delete(f"{UC}/models/main.default.atlas")).json() == {}
    missing = await admin.get(f"{UC}/models/{NAME}/versions")
    error(missing, 404, "RESOURCE_DOES_NOT_EXIST")


async def test_native_tags(user):
    await make(user)
    changes = {"changes": {"add_tags": [{"key": "a", "value": "1"}, {"key": "b"}]}}
    for path in (f"{UC}/securable-tags/FUNCTION/{NAME}", f"{UC}/subentity-tags/FUNCTION/{NAME}/1"):
        assert (await user.patch(path, json=changes)).json() == {}
        assert (await user.patch(path, json={"changes": {"remove": ["b"]}})).json() == {}
    for path in (f"{UC}/models/{NAME}", f"{UC}/models/{NAME}/versions/1"):
        assert (await user.get(path)).json()["tags"] == [{"key": "a", "value": "1"}]
    answer = await user.patch(f"{UC}/securable-tags/TABLE/{NAME}", json=changes)
    assert "FUNCTION" in error(answer, 400, "INVALID_PARAMETER_VALUE")


async def test_catalogs_and_schemas(user):
    assert (await post(user, f"{UC}/catalogs", name="C", comment="x")).json()["name"] == "c"
    error(await post(user, f"{UC}/catalogs", name="c"), 409, "RESOURCE_ALREADY_EXISTS")
    assert (await post(user, f"{UC}/schemas", name="S", catalog_name="c")).json()["full_name"] == "c.s"
    error(await post(user, f"{UC}/schemas", name="s", catalog_name="none"), 404, "RESOURCE_DOES_NOT_EXIST")
    listed = (await user.get(f"{UC}/catalogs", params={"max_results": 0})).json()
    assert [found["name"] for found in listed["catalogs"]] == ["c"]
    listed = (await user.get(f"{UC}/schemas", params={"catalog_name": "c"})).json()
    assert [found["full_name"] for found in listed["schemas"]] == ["c.s"]
    error(await user.get(f"{UC}/schemas"), 400, "INVALID_PARAMETER_VALUE")
    changed = await user.patch(f"{UC}/schemas/c.s", json={"comment": "n", "properties": {"k": "v"}})
    assert (changed.json()["comment"], changed.json()["properties"]) == ("n", {"k": "v"})
    answer = await user.patch(f"{UC}/catalogs/c", json={"new_name": "d"})
    assert "new_name" in error(answer, 400, "INVALID_PARAMETER_VALUE")
    error(await user.delete(f"{UC}/catalogs/c"), 409, "RESOURCE_CONFLICT")
    assert (await user.delete(f"{UC}/catalogs/c", params={"force": "true"})).json() == {}
    error(await user.get(f"{UC}/schemas/c.s"), 404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize("body", [{}, {"name": 5}, {"name": "a.b.c", "tags": [{}]}, {"name": "a.b.c", "tags": "x"}])
async def test_wrong_bodies_name_the_field(user, body):
    answer = await user.post(f"{MLFLOW}/registered-models/create", json=body)
    message = error(answer, 400, "INVALID_PARAMETER_VALUE")
    assert message.startswith("tags" if "tags" in body else "name")
