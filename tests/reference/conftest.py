"""These tests run where torch and transformers are, and drive the engine in its own interpreter."""

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("driver.py")
FRONT = Path(__file__).with_name("vllm_front.py")
VLLM = os.environ.get("PENSTOCK_VLLM_PYTHON", "")
"""An interpreter that has vLLM, if there is one."""
LOAD_S = 120
"""What the engine is given to load a model of the tests."""
START_S = 600
"""What vLLM is given to start; it compiles first, and answers its first requests slowly too."""
sys.path.append(str(ROOT / "tests" / "engine"))  # the forms of chats are there, and the cells of the table


def python():
    """The engine's own interpreter."""
    return ROOT / os.environ.get("PENSTOCK_PYTHON", ".venv/bin/python")


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    """engine(model, prompts, precisions, kind=..., steps=...) -> {precision: what driver.py wrote}."""
    cache = tmp_path_factory.mktemp("cache")

    def run(model, prompts, precisions=("fp32", "bf16", "int8"), *, kind="decoder", steps=1, **more):
        folder = tmp_path_factory.mktemp("job")
        job = {
            "model": str(model),
            "cache": str(cache),
            "precisions": precisions,
            "kind": kind,
            "prompts": prompts,
            "steps": steps,
            "out": str(folder),
            **more,
        }
        (folder / "job.json").write_text(json.dumps(job))
        done = subprocess.run(
            [python(), DRIVER, folder / "job.json"], capture_output=True, text=True, timeout=LOAD_S, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return {precision: dict(np.load(folder / f"{precision}.npz")) for precision in precisions}

    return run


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """served(model, precision, task): a client of the engine's own program, which serves the model meanwhile."""
    folder = tmp_path_factory.mktemp("served")

    @contextmanager
    def opened(model, precision, task="chat"):
        socket = folder / "socket"
        command = [python(), "-m", "penstock_engine", "serve", "--watch-stdin", "--served-model-name", "tiny"]
        command += ["--model", model, "--cache", folder / "cache", "--precision", precision]
        command += ["--task", f"llm/v1/{task}", "--kv-bytes", str(64 << 20), "--socket", socket]
        with _running(command, LOAD_S), _client(socket, LOAD_S) as client:
            yield client

    return opened


@pytest.fixture(scope="session")
def vllm(tmp_path_factory):
    """vllm(model, precision, task, ...): two clients of a vLLM that serves the model meanwhile.

    One is asked as the platform asks, the other is vLLM's own. `adapters` are {name: folder}. `refused`: the model is
    one that the launch plan refuses.
    """
    if not VLLM:
        pytest.skip("PENSTOCK_VLLM_PYTHON names no interpreter that has vLLM")
    cache = tmp_path_factory.mktemp("cache")

    @contextmanager
    def opened(model, precision, task="chat", **more):
        folder = tmp_path_factory.mktemp("vllm")
        ours, own = folder / "ours", folder / "own"
        job = {"python": VLLM, "model": str(model), "precision": precision, "task": f"llm/v1/{task}"}
        job |= {"cache": str(cache), "folder": str(folder), "socket": str(ours), "direct": str(own), **more}
        (folder / "job.json").write_text(json.dumps(job))
        with (
            _running([python(), FRONT, folder / "job.json"], START_S),
            _client(ours, START_S) as client,
            _client(own, START_S) as direct,
        ):
            yield client, direct

    return opened


@contextmanager
def _running(command, limit_s):
    """A program that says when it serves, and ends when its stdin does."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, **pipes) as process:
        _wait_until_it_serves(process, limit_s)
        # or it would stand still when nobody reads what else it says
        reading = threading.Thread(target=process.stdout.read)
        reading.start()
        try:
            yield
        finally:
            process.stdin.close()
            reading.join()


@contextmanager
def _client(socket, limit_s):
    transport = httpx2.HTTPTransport(uds=str(socket))
    with httpx2.Client(transport=transport, base_url="http://engine", timeout=limit_s) as client:
        yield client


def _wait_until_it_serves(process, limit_s):
    lines, timer = [], threading.Timer(limit_s, process.kill)
    timer.start()
    try:
        for line in process.stdout:
            lines.append(line)
            if " serving tiny on " in line:
                return
    finally:
        timer.cancel()
    raise AssertionError("".join(lines[-40:]))


@pytest.fixture(scope="session")
def shown():
    """shown(family, engine, column, value): a cell of docs/models.md, written down if the table is being made."""
    from shown_cells import shown

    return shown
