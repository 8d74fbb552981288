"""Cells of docs/models.md, written down while its table is being made; see scripts/models_table.py."""

import json
import os
from pathlib import Path

TABLE = "MODELS_TABLE"
"""The folder for them."""


def shown(family, engine, column, value):
    """What a test has seen of a family on an engine."""
    if folder := os.environ.get(TABLE):
        line = json.dumps({"family": family, "engine": engine, "column": column, "value": value})
        with (Path(folder) / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(line + "\n")
