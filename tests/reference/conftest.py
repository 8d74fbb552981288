"""These tests run where torch and transformers are, and drive the engine in its own interpreter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("driver.py")
sys.path.append(str(ROOT / "tests" / "engine"))  # the forms of chats are there
TABLE = "MODELS_TABLE"
"""A folder for what docs/models.md is made of; see scripts/models_table.py."""


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
            [python(), DRIVER, folder / "job.json"], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return {precision: dict(np.load(folder / f"{precision}.npz")) for precision in precisions}

    return run


@pytest.fixture(scope="session")
def shown():
    """shown(family, engine, column, value): a cell of docs/models.md, written down if the table is being made."""

    def note(family, engine, column, value):
        if folder := os.environ.get(TABLE):
            line = json.dumps({"family": family, "engine": engine, "column": column, "value": value})
            with (Path(folder) / f"{os.getpid()}.jsonl").open("a") as file:
                file.write(line + "\n")

    return note
