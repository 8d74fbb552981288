"""MLflow tracking: what is passed on to its server and how, what is closed, artifacts, and pages for browsers."""

import base64
import json
from pathlib import Path

import pytest

from penstock.domain.errors import InvalidRequest
from penstock.testing.tracking import FakeAnswer
from penstock.web.databricks.tracking_paths import is_open

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
SDK = {"User-Agent": "unknown/0.0.0 databricks-sdk-py/0.156.0 python/3.11.2"}
RUN_FILES = "/api/2.0/fs/files/WorkspaceInternal/Mlflow/Artifacts/7/Runs/r1/artifacts"


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"token:{password}".encode()).decode()}


async def test_a_request_is_passed_on_without_who_asks(user, tracking):
    tracking.answer = FakeAnswer(body=b'{"run": {}}', headers=[("content-type", "application/json"), ("server", "x")])
    answer = await user.get(f"{API}/runs/get?run_id=a%20b", headers={"Cookie": "c=1", "Origin": "http://x"})
    assert answer.json() == {"run": {}}
    assert "server" not in answer.headers
    assert answer.headers["x-databricks-org-id"] == "1234567890123456"
    asked = tracking.asked[0]
    assert (asked.method, asked.target) == ("GET", "/ml/api/2.0/mlflow/runs/get?run_id=a%20b")
    assert not {name for name, _ in asked.headers} & {"authorization", "cookie", "origin", "host"}


async def test_answers_of_the_server_are_its_own(user, tracking):
    tracking.answer = FakeAnswer(404, body=b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No Run"}')
    answer = await user.get(f"{API}/runs/get?run_id=x")
    assert answer.status_code == 404
    assert answer.json()["message"] == "No Run"


async def test_errors_that_are_pages_get_the_shape_of_the_api(user, tracking):
    tracking.answer = FakeAnswer(500, [("content-type", "text/html")], b"<h1>Internal Server Error</h1>")
    answer = await user.get(f"{API}/runs/get?run_id=x")
    assert answer.status_code == 500
    assert answer.json()["error_code"] == "INTERNAL_ERROR"
    assert "status 500" in answer.json()["message"]


async def test_without_mlflow_the_command_that_brings_it_is_told(user, tracking):
    tracking.fault = InvalidRequest("Install it: pip install 'penstock[mlflow]'")
    answer = await user.post(f"{API}/runs/create", json={})
    assert answer.status_code == 400
    assert "penstock[mlflow]" in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{API}/experiments/../gateway/endpoints/create"),
        ("POST", f"{API}/runs/create-promptlab-run"),
        ("GET", f"{API}/logged-models/m-1/artifacts/presigned"),
        ("POST", "/ml/ajax-api/2.0/mlflow/registered-models/create"),
        ("POST", "/ml/ajax-api/2.0/mlflow/upload-artifact"),
        ("GET", "/ml/ajax-api/2.0/mlflow/get-trace-artifact"),
        ("POST", "/ml/ajax-api/3.0/mlflow/gateway/endpoints/create"),
        ("POST", "/ml/ajax-api/3.0/jobs/"),
        ("POST", "/ml/ajax-api/3.0/mlflow/assistant/message"),
        ("POST", "/ml/ajax-api/2.0/mlflow/gateway-proxy"),
        ("POST", "/ml/ajax-api/2.0/mlflow/users/create"),
    ],
)
async def test_what_is_not_tracking_is_closed(admin, tracking, method, path):
    answer = await admin.request(method, path)
    assert answer.status_code == 404, answer.text
    assert answer.json()["error_code"] == "ENDPOINT_NOT_FOUND"
    assert tracking.asked == []


def test_a_path_is_open_for_its_method_only():
    assert is_open("POST", f"{API}/runs/create")
    assert not is_open("GET", f"{API}/runs/create")
    assert not is_open("GET", "/ml/model-versions/get-artifact")
    assert not is_open("DELETE", "/ml/graphql")
    assert not is_open("GET", f"{API}/logged-models/../runs/get")


async def test_a_client_without_an_experiment_gets_the_default_one(user, tracking):
    await user.post(f"{API}/runs/create", json={"experiment_id": "None", "tags": [{"key": "k", "value": "None"}]})
    await user.get(f"{API}/experiments/get?experiment_id=None")
    await user.post(f"{API}/runs/search", json={"experiment_ids": ["None"]})
    made, got, searched = tracking.asked
    assert json.loads(made.body) == {"experiment_id": "0", "tags": [{"key": "k", "value": "None"}]}
    assert got.target.endswith("?experiment_id=0")
    assert json.loads(searched.body) == {"experiment_ids": ["0"]}


async def test_text_that_looks_like_a_member_is_left_alone(user, tracking):
    tag = '{"experiment_id": "None", "artifact_uri": "mlflow-artifacts:/7/r"}'
    tracking.answer = FakeAnswer(body=json.dumps({"value": tag}).encode())
    answer = await user.post(f"{API}/runs/set-tag", json={"key": "k", "value": tag}, headers=SDK)
    assert json.loads(tracking.asked[0].body)["value"] == tag
    assert answer.json() == {"value": tag}


async def test_each_kind_of_client_gets_addresses_that_it_knows(user, tracking):
    run = {"run": {"info": {"artifact_uri": "mlflow-artifacts:/7/r1/artifacts"}}}
    tracking.answer = FakeAnswer(body=json.dumps(run).encode())
    assert (await user.get(f"{API}/runs/get?run_id=r1")).json() == run
    told = (await user.get(f"{API}/runs/get?run_id=r1", headers=SDK)).json()
    assert told["run"]["info"]["artifact_uri"] == "dbfs:/databricks/mlflow-tracking/7/r1/artifacts"
    model = {"model": {"info": {"artifact_uri": "mlflow-artifacts:/7/models/m-1/artifacts"}}}
    tracking.answer = FakeAnswer(body=json.dumps(model).encode())
    told = (await user.get(f"{API}/logged-models/m-1", headers=SDK)).json()
    assert told["model"]["info"]["artifact_uri"] == "dbfs:/databricks/mlflow-tracking/7/logged_models/m-1/artifacts"


@pytest.mark.parametrize("key", ["artifact_location", "artifactLocation"])
@pytest.mark.parametrize(
    "place",
    ["file:///etc", "/etc", "s3://bucket/x", "mlflow-artifacts:/../x", "mlflow-artifacts://host/x",
     "mlflow-artifacts:/", "mlflow-artifacts:/a?b", "dbfs:/databricks/mlflow-tracking/a/../..", 7, ["file:///etc"]],
)  # fmt: skip
async def test_experiments_keep_artifacts_here_only(user, tracking, key, place):
    for where in (f"{API}/experiments/create", "/ml/ajax-api/2.0/mlflow/experiments/create"):
        answer = await user.post(where, json={"name": "e", key: place})
        assert answer.status_code == 400, place
        assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert tracking.asked == []


async def test_an_experiment_may_name_a_place_below_ours(user, tracking):
    for place in ("mlflow-artifacts:/team/a", "dbfs:/databricks/mlflow-tracking/team/a"):
        await user.post(f"{API}/experiments/create", json={"name": "e", "artifact_location": place})
        assert json.loads(tracking.asked[-1].body)["artifact_location"] == "mlflow-artifacts:/team/a"
    await user.post(f"{API}/experiments/create", json={"name": "e"})
    assert json.loads(tracking.asked[-1].body) == {"name": "e"}


async def test_json_in_json_is_no_way_around(user, tracking):
    inner = json.dumps({"name": "e", "artifact_location": "file:///etc"})
    answer = await user.post(f"{API}/experiments/create", json=inner)
    assert answer.json()["error_code"] == "MALFORMED_REQUEST"
    assert tracking.asked == []


async def test_artifacts_are_written_listed_read_and_deleted(user):
    assert (await user.get(ARTIFACTS, params={"path": "7/r1/artifacts"})).json() == {"files": []}
    for name in ("a b.txt", "plots/p.png"):
        assert (await user.put(f"{ARTIFACTS}/7/r1/artifacts/{name}", content=b"content")).status_code == 200
    listed = (await user.get(ARTIFACTS, params={"path": "7/r1/artifacts"})).json()["files"]
    assert listed == [{"path": "a b.txt", "is_dir": False, "file_size": 7}, {"path": "plots", "is_dir": True}]
    assert (await user.get(f"{ARTIFACTS}/7/r1/artifacts/a%20b.txt")).content == b"content"
    assert (await user.get(f"{RUN_FILES}/a%20b.txt")).content == b"content"
    assert (await user.delete(f"{ARTIFACTS}/7/r1/artifacts/plots")).json() == {}
    assert (await user.get(f"{ARTIFACTS}/7/r1/artifacts/plots/p.png")).status_code == 404


async def test_parts_are_refused_in_words_that_make_the_client_send_files_whole(user):
    answer = await user.post("/api/2.0/mlflow-artifacts/mpu/create/7/r1/artifacts/x", json={"path": "x"})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Multipart upload is not supported for the current artifact repository")


async def test_pages_get_files_that_a_browser_does_not_run(user):
    await user.put(f"{ARTIFACTS}/7/r1/artifacts/x.html", content=b"<script>")
    answer = await user.get("/ml/ajax-api/2.0/mlflow-artifacts/artifacts/7/r1/artifacts/x.html")
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_weights_that_arrive_twice_are_kept_once(user, tmp_path: Path):
    weights = b"w" * 5000
    await user.put(f"{ARTIFACTS}/0/models/m-1/artifacts/model.safetensors", content=weights)
    await user.put(f"{RUN_FILES}/model.safetensors", content=weights)
    kept = [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file() and path.stat().st_size == 5000]
    assert len(kept) == 3
    assert len({path.stat().st_ino for path in kept}) == 1


async def test_a_browser_is_asked_for_a_token(anonymous, tracking):
    answer = await anonymous.get("/ml/")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    wrong = await anonymous.get("/ml/", headers=basic("dapi-wrong"))
    assert wrong.status_code == 401
    assert wrong.headers["www-authenticate"].startswith("Basic ")
    tracking.answer = FakeAnswer(headers=[("content-type", "text/html")], body=b"<html>")
    right = await anonymous.get("/ml/", headers=basic("dapi-user-token"))
    assert (right.status_code, right.content) == (200, b"<html>")
    assert tracking.asked[0].target == "/ml/"


async def test_other_clients_are_not_asked(anonymous):
    answer = await anonymous.get(f"{API}/runs/get")
    assert answer.status_code == 401
    assert "www-authenticate" not in answer.headers


async def test_links_to_runs_lead_to_their_pages(user, tracking):
    assert (await user.get("/ml")).headers["location"] == "/ml/"
    assert (await user.get("/")).headers["location"] == "/ml/"
    answer = await user.get("/ml/experiments/7/runs/r1?o=12")
    assert answer.headers["location"] == "/ml/#/experiments/7/runs/r1?o=12"
    assert tracking.asked == []


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://penstock", 200),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://penstock.evil", 403),
    ],
)
async def test_pages_of_other_sites_change_nothing(user, tracking, origin, status):
    headers = {"Origin": origin} if origin else {}
    answer = await user.post("/ml/ajax-api/2.0/mlflow/runs/delete", json={"run_id": "x"}, headers=headers)
    assert answer.status_code == status
    assert len(tracking.asked) == (status == 200)


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "query"), ({"query": 1}, "query"), ({"query": "{x}", "variables": []}, "variables")],
)
async def test_a_query_of_the_pages_that_is_none_is_no_fault(user, body, field):
    answer = await user.post("/ml/graphql", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json()["message"].startswith(f"{field} must be")


@pytest.mark.parametrize("body", ["[]", "null", "1", '"a"', "[" * 20])
async def test_what_is_no_object_is_refused_before_mlflow_sees_it(user, tracking, body):
    answer = await user.post("/api/2.0/mlflow/runs/create", content=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "MALFORMED_REQUEST")
    assert tracking.asked == []


async def test_a_text_that_is_no_query_is_no_fault(user, tracking):
    tracking.answer = FakeAnswer(500, [("content-type", "text/html")], b"<h1>Internal Server Error</h1>")
    answer = await user.post("/ml/graphql", json={"query": "{"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert answer.json()["message"].startswith("query ")
    answer = await user.post("/api/2.0/mlflow/runs/create", json={})
    assert (answer.status_code, answer.json()["error_code"]) == (500, "INTERNAL_ERROR")
