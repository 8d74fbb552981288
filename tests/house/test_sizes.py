"""Files and functions stay small enough to be read in one go."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE_LINES = 400
FUNCTION_LINES = 50
SOURCES = sorted(
    path
    for folder in ("src", "tests", "bench", "examples", "scripts")
    for path in (ROOT / folder).rglob("*.py")
    if "versions" not in path.parts and "out" not in path.parts
)


def functions(tree):
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def body_lines(node):
    """Lines of a function without its docstring: docstrings are never what gets squeezed out."""
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = first.end_lineno - first.lineno + 1 if documented else 0
    return node.end_lineno - node.lineno + 1 - docstring


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_and_functions_are_small(path):
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES
    long = [
        f"{node.name}: {body_lines(node)}" for node in functions(ast.parse(text)) if body_lines(node) > FUNCTION_LINES
    ]
    assert not long


def test_no_file_is_named_for_odds_and_ends():
    assert not [path for path in SOURCES if path.stem in {"utils", "util", "helpers", "common", "misc"}]


def test_nothing_names_an_index_or_is_left_unfinished():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    patterns = ("index" + "-url", "pypi" + ".org", "registry.npm" + "js", '"resolved"' + ":", "TO" + "DO", "FIX" + "ME")
    texts = (".py", ".md", ".toml", ".txt", ".in", ".json", ".sh", ".yaml", ".yml", ".mk", "Makefile", "run")
    for name in filter(None, listed):
        path = ROOT / name
        if name.endswith(texts) and path.is_file():
            content = path.read_text(errors="replace")
            assert not [p for p in patterns if p in content], name
