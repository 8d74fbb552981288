"""MLflow tracking with the unmodified client, by both of its tracking URIs."""

import os
import re
import uuid
from pathlib import Path

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
URIS = ("databricks", URL)
WEIGHTS = 300_007
LARGE = 51 * 2**20  # the SDK sends what is larger than 50 MiB in parts


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    given = {"DATABRICKS_HOST": URL, "DATABRICKS_TOKEN": TOKEN, "MLFLOW_TRACKING_TOKEN": TOKEN}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    yield
    mlflow.set_tracking_uri(before[0])
    mlflow.set_registry_uri(before[1])


@pytest.fixture(params=URIS, ids=["databricks", "http"])
def uri(request):
    mlflow.set_tracking_uri(request.param)
    mlflow.set_registry_uri("databricks-uc")
    return request.param


@pytest.fixture
def experiment(uri):
    return mlflow.set_experiment(f"/Users/admin/tracking-{uuid.uuid4().hex[:8]}")


def other(uri):
    return URIS[1 - URIS.index(uri)]


def test_a_run_with_its_metrics_parameters_and_tags(uri, experiment):
    with mlflow.start_run(run_name="first", tags={"team": "a"}) as run:
        mlflow.log_param("rate", 0.1)
        mlflow.log_params({"layers": 2, "name": "Grüße"})
        for step in range(3):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"accuracy": 0.5}, step=2)
    for each in URIS:
        client = MlflowClient(tracking_uri=each)
        found = client.get_run(run.info.run_id)
        assert found.info.experiment_id == experiment.experiment_id
        assert found.info.status == "FINISHED"
        assert found.data.params == {"rate": "0.1", "layers": "2", "name": "Grüße"}
        assert found.data.tags["team"] == "a"
        assert [metric.value for metric in client.get_metric_history(run.info.run_id, "loss")] == [1, 0.5, 1 / 3]
        matching = client.search_runs([experiment.experiment_id], "metrics.accuracy = 0.5 and tags.team = 'a'")
        assert [one.info.run_id for one in matching] == [run.info.run_id]
    client.delete_run(run.info.run_id)
    assert client.search_runs([experiment.experiment_id]) == []
    client.restore_run(run.info.run_id)
    client.set_terminated(run.info.run_id, "FAILED")
    assert client.get_run(run.info.run_id).info.status == "FAILED"


def test_artifacts_are_the_same_by_both_uris(uri, experiment, tmp_path):
    (tmp_path / "plots" / "deep").mkdir(parents=True)
    (tmp_path / "plots" / "deep" / "a b.txt").write_text("deep")
    with mlflow.start_run() as run:
        mlflow.log_text("hello", "notes/hello.txt")
        mlflow.log_dict({"a": [1, 2]}, "config.json")
        mlflow.log_artifacts(str(tmp_path / "plots"), "plots")
    scheme = "dbfs:/databricks/mlflow-tracking/" if uri == "databricks" else "mlflow-artifacts:/"
    assert run.info.artifact_uri.startswith(scheme)
    for each in URIS:
        client = MlflowClient(tracking_uri=each)
        listed = client.list_artifacts(run.info.run_id)
        assert [(file.path, file.is_dir) for file in listed] == [
            ("config.json", False), ("notes", True), ("plots", True)
        ]  # fmt: skip
        into = tmp_path / each.partition(":")[0]
        into.mkdir()
        client.download_artifacts(run.info.run_id, "", str(into))
        assert (into / "notes" / "hello.txt").read_text() == "hello"
        assert (into / "plots" / "deep" / "a b.txt").read_text() == "deep"


def test_a_large_artifact(uri, experiment, tmp_path):
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(LARGE)
        file.write(b"begin")
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(large))
    back = MlflowClient(tracking_uri=other(uri)).download_artifacts(run.info.run_id, "large.bin", str(tmp_path / ".."))
    assert Path(back).stat().st_size == LARGE
    assert Path(back).read_bytes()[:5] == b"begin"


def test_a_run_without_an_experiment_is_in_the_default_one(uri):
    run = MlflowClient().create_run("None")
    assert run.info.experiment_id == "0"


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str]) -> list[str]:
        return model_input


def server_folder():
    """The server's data folder, as its command says."""
    command = Path(f"/proc/{os.environ['PENSTOCK_PID']}/cmdline").read_bytes().decode().split("\0")
    return Path(command[command.index("--data-dir") + 1])


def test_a_logged_model_whose_weights_are_kept_once(uri, experiment, tmp_path):
    weights = tmp_path / "weights.bin"
    weights.write_bytes(os.urandom(WEIGHTS))
    name = f"main.tracking_tests.echo_{uuid.uuid4().hex[:8]}"
    with mlflow.start_run() as run:
        logged = mlflow.pyfunc.log_model(
            name="model", python_model=Echo(), artifacts={"weights": str(weights)}, pip_requirements=["mlflow"],
            registered_model_name=name,
        )  # fmt: skip
        mlflow.log_metric("score", 0.7, model_id=logged.model_id)
    found = mlflow.get_logged_model(logged.model_id)
    assert found.status == "READY"
    assert found.source_run_id == run.info.run_id
    assert [metric.value for metric in found.metrics] == [0.7]
    searched = mlflow.search_logged_models([experiment.experiment_id], output_format="list")
    assert [model.model_id for model in searched] == [logged.model_id]
    assert mlflow.pyfunc.load_model(f"models:/{logged.model_id}").predict(["a"]) == ["a"]
    assert MlflowClient().get_model_version(name, "1").status == "READY"
    content = weights.read_bytes()
    sized = [
        path for path in (server_folder() / "artifacts").rglob("*")
        if path.is_file() and path.stat().st_size == WEIGHTS and path.read_bytes() == content
    ]  # fmt: skip
    assert len(sized) == 3  # the content, the logged model's link to it, and the version's
    assert len({path.stat().st_ino for path in sized}) == 1


def test_who_has_no_token_sees_nothing(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "dapi-wrong-token")
    with pytest.raises(MlflowException, match="Invalid access token"):
        MlflowClient(tracking_uri=URL).search_experiments()


def test_basic_credentials_work_too(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "token")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", TOKEN)
    assert MlflowClient(tracking_uri=URL).get_experiment("0").name == "Default"


def test_an_experiment_cannot_read_the_servers_files():
    for place in ("file:///etc", "/etc"):
        with pytest.raises(MlflowException, match="artifact_location"):
            MlflowClient(tracking_uri=URL).create_experiment(f"e-{uuid.uuid4().hex}", artifact_location=place)


def test_the_pages_are_there_for_who_has_a_token():
    assert requests.get(f"{URL}/ml/", timeout=60).status_code == 401
    session = requests.Session()
    session.auth = ("token", TOKEN)
    page = session.get(f"{URL}/ml/", timeout=60)
    assert page.headers["content-type"].startswith("text/html")
    script = re.search(r'src="((?:\./)?static-files/[^"]+\.js)"', page.text)
    assert script, page.text[:500]
    assert session.get(f"{URL}/ml/{script[1]}", timeout=60).status_code == 200
    link = session.get(f"{URL}/ml/experiments/0/runs/x", timeout=60, allow_redirects=False)
    assert link.headers["location"] == "/ml/#/experiments/0/runs/x"


def test_pages_show_runs_and_their_artifacts(experiment):
    with mlflow.start_run() as run:
        mlflow.log_text("shown", "notes/hello.txt")
    session = requests.Session()
    session.auth = ("token", TOKEN)
    ajax = f"{URL}/ml/ajax-api/2.0/mlflow"
    listed = session.get(f"{ajax}/artifacts/list", params={"run_id": run.info.run_id, "path": "notes"}, timeout=60)
    assert [file["path"] for file in listed.json()["files"]] == ["notes/hello.txt"]
    query = {"path": "notes/hello.txt", "run_uuid": run.info.run_id}
    assert session.get(f"{URL}/ml/get-artifact", params=query, timeout=60).text == "shown"
    renamed = {"run_id": run.info.run_id, "run_name": "renamed"}
    assert session.post(f"{ajax}/runs/update", json=renamed, headers={"Origin": URL}, timeout=60).status_code == 200
    evil = session.post(f"{ajax}/runs/update", json=renamed, headers={"Origin": "https://evil.example"}, timeout=60)
    assert evil.status_code == 403
    asked = {"query": "query Q($i: MlflowGetRunInput!) { mlflowGetRun(input: $i) { run { info { runName } } } }",
             "variables": {"i": {"runId": run.info.run_id}}}  # fmt: skip
    told = session.post(f"{URL}/ml/graphql", json=asked, timeout=60).json()
    assert told["data"]["mlflowGetRun"]["run"]["info"]["runName"] == "renamed"
