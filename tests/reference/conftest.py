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
LOAD_S = 120
"""What the engine is given to load a model of the tests."""
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
        # It ends when its stdin does.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            _wait_until_it_serves(process)
            transport = httpx2.HTTPTransport(uds=str(socket))
            with httpx2.Client(transport=transport, base_url="http://engine", timeout=LOAD_S) as client:
                yield client

    return opened


def _wait_until_it_serves(process):
    lines, timer = [], threading.Timer(LOAD_S, process.kill)
    timer.start()
    try:
        for line in process.stdout:
            lines.append(line)
            if " serving tiny on " in line:
                return
    finally:
        timer.cancel()
    raise AssertionError("".join(lines[-20:]))


@pytest.fixture(scope="session")
def shown():
    """shown(family, engine, column, value): a cell of docs/models.md, written down if the table is being made."""
    from shown_cells import shown

    return shown
