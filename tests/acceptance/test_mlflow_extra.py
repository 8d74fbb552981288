"""MLflow in the server's own interpreter, as the extra `mlflow` puts it there: nothing has to be set.

Nothing is installed for it: an interpreter is made that has the packages of both, MLflow's versions first.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient

START_S = 60
STOP_S = 60
TOKEN = "dapi-of-the-mlflow-extra"
RUN = ["-c", "from penstock.cli.main import main; main()", "serve"]


@pytest.fixture
def interpreter(tmp_path):
    """Of this environment, which has MLflow, and of the server's."""
    venv.create(tmp_path / "venv", symlinks=True)
    server = Path(os.environ["PENSTOCK_COMMAND"]).parents[1]
    [theirs] = server.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    [packages] = (tmp_path / "venv").glob("lib/python*/site-packages")
    lines = [f"import site; site.addsitedir({str(path)!r})" for path in [*ours, theirs]]
    (packages / "both.pth").write_text("\n".join(lines) + "\n")
    return tmp_path / "venv" / "bin" / "python"


@pytest.fixture
def url(interpreter, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    command = [interpreter, *RUN, "--port", str(port), "--data-dir", tmp_path / "data"]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env={**variables, "PENSTOCK_ADMIN_TOKEN": TOKEN}, stdout=log, stderr=log)
    try:
        wait_ready(f"http://127.0.0.1:{port}", server, tmp_path / "server.log")
        yield f"http://127.0.0.1:{port}"
        server.send_signal(signal.SIGTERM)
        assert server.wait(STOP_S) == 0
    finally:
        server.kill()
        server.wait()


def wait_ready(url, server, log):
    end = time.monotonic() + START_S
    while True:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            if requests.get(f"{url}/health/ready", timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        assert time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.1)


def test_runs_are_tracked_without_any_setting(url, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    client = MlflowClient(tracking_uri=url)
    run = client.create_run(client.create_experiment("extra"))
    client.log_metric(run.info.run_id, "loss", 0.5)
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 0.5}
