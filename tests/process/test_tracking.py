"""A real server with another application in MLflow's place: started when asked, again when it ended, gone with us."""

import os
import signal
import sys
import venv

import psutil
import pytest
from stand import Stand

RUN = "/api/2.0/mlflow/runs/get?run_id=x"
LIMIT_S = 60
APPLICATION = """
import json, os
async def app(scope, receive, send):
    told = {"pid": os.getpid(), "variables": sorted(os.environ), "path": scope["path"]}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
"""
# The interpreter is told to be isolated; this one finds our modules all the same.
INTERPRETER = """#!/bin/sh
shift
PYTHONPATH={modules} exec {python} {flags} "$@"
"""


def interpreter(folder, *, flags=""):
    """An interpreter with an `mlflow` of ours; with the flag -S it has no packages at all."""
    package = folder / "modules" / "mlflow" / "server"
    package.mkdir(parents=True)
    for place in (package, package.parent):
        (place / "__init__.py").touch()
    (package / "fastapi_app.py").write_text(APPLICATION)
    made = folder / "python"
    made.write_text(INTERPRETER.format(modules=package.parents[1], python=sys.executable, flags=flags))
    made.chmod(0o700)
    return str(made)


@pytest.fixture
async def stand(tmp_path):
    made = Stand(tmp_path)
    yield made
    await made.close()


async def ask(stand):
    async with stand.session.get(f"{stand.url}{RUN}") as answer:
        return answer.status, await answer.json()


async def test_it_is_there_when_asked_and_gone_with_the_server(stand, tmp_path):
    stand.variables["PENSTOCK_MLFLOW_PYTHON"] = interpreter(tmp_path)
    stand.variables["HF_TOKEN"] = "hf_of_the_server"
    await stand.start()
    assert not (stand.data / "mlflow").exists()
    status, first = await ask(stand)
    assert (status, first["path"]) == (200, "/ml/api/2.0/mlflow/runs/get")
    ours = [name for name in first["variables"] if name.startswith("PENSTOCK_") or name.endswith("_TOKEN")]
    assert not ours
    os.kill(first["pid"], signal.SIGKILL)

    async def again():
        told = await ask(stand)
        return told[0] == 200 and told[1]["pid"] != first["pid"]

    await stand.until(again, LIMIT_S, "another one to be started")
    second = psutil.Process((await ask(stand))[1]["pid"])
    await stand.kill()

    async def gone():
        return not second.is_running() or second.status() == psutil.STATUS_ZOMBIE

    await stand.until(gone, LIMIT_S, "the one of a killed server to end")


async def test_a_server_that_stops_takes_it_along(stand, tmp_path):
    stand.variables["PENSTOCK_MLFLOW_PYTHON"] = interpreter(tmp_path)
    await stand.start()
    child = psutil.Process((await ask(stand))[1]["pid"])
    assert await stand.stop() == 0
    assert not child.is_running()


async def test_without_mlflow_the_command_is_told_and_the_rest_works(stand, tmp_path):
    stand.variables["PENSTOCK_MLFLOW_PYTHON"] = python = interpreter(tmp_path, flags="-S")
    await stand.start()
    status, body = await ask(stand)
    assert status == 400
    assert f"{python} -m pip install mlflow" in body["message"]
    artifact = f"{stand.url}/api/2.0/mlflow-artifacts/artifacts/0/r/a.txt"
    async with stand.session.put(artifact, data=b"kept") as answer:
        assert answer.status == 200
    async with stand.session.get(artifact) as answer:
        assert await answer.read() == b"kept"


def environment_with_mlflow(folder):
    """An interpreter that has all that ours has, and an `mlflow` of ours beside it, as the extra would be."""
    venv.create(folder / "venv", symlinks=True)
    modules = folder / "modules"
    package = modules / "mlflow" / "server"
    package.mkdir(parents=True)
    for place in (package, package.parent):
        (place / "__init__.py").touch()
    (package / "fastapi_app.py").write_text(APPLICATION)
    [packages] = (folder / "venv").glob("lib/python*/site-packages")
    # Ours is brought in by its own .pth files, which only addsitedir reads.
    ours = [path for path in sys.path if path.endswith(("site-packages", "src"))]
    lines = [f"import site; site.addsitedir({path!r})" for path in [*ours, str(modules)]]
    (packages / "beside.pth").write_text("\n".join(lines) + "\n")
    return folder / "venv" / "bin" / "python"


async def test_mlflow_in_the_servers_own_interpreter_needs_no_setting(tmp_path):
    python = environment_with_mlflow(tmp_path)
    stand = Stand(tmp_path)
    stand.program = [python, "-c", "from penstock.cli.main import main; main()"]
    try:
        await stand.start()
        status, told = await ask(stand)
        assert (status, told["path"]) == (200, "/ml/api/2.0/mlflow/runs/get"), told
        assert psutil.Process(told["pid"]).cmdline()[0] == str(python)
        assert await stand.stop() == 0
    finally:
        await stand.close()
