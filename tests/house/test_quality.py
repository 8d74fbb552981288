"""ruff and mypy are tests like the others."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = {
    "ruff check": ["ruff", "check", "src", "tests", "bench", "examples", "scripts"],
    "ruff format": ["ruff", "format", "--check", "src", "tests", "bench", "examples", "scripts"],
    "mypy": ["mypy"],
}


@pytest.mark.parametrize("name", TOOLS)
def test_tool_finds_nothing(name):
    tool, *arguments = TOOLS[name]
    done = subprocess.run(
        [Path(sys.executable).with_name(tool), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
