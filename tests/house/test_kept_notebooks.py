"""Notebooks are kept as they were written: no outputs, no counts, names for cells, and the form that Jupyter saves."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").rglob("*.ipynb"))
FIELDS = {"markdown": {"cell_type", "id", "metadata", "source"}}
FIELDS["code"] = FIELDS["markdown"] | {"execution_count", "outputs"}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_clean(path):
    text = path.read_text(encoding="utf-8")
    book = json.loads(text)
    assert text == json.dumps(book, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert book["metadata"] == {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in book["cells"]:
        assert set(cell) == FIELDS[cell["cell_type"]]
        assert not cell["metadata"]
        assert cell["cell_type"] == "markdown" or (cell["execution_count"], cell["outputs"]) == (None, [])
        assert re.fullmatch(r"[a-z][a-z-]*", cell["id"]), "a word of its own, which stays when cells move"
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)


def test_there_are_some():
    assert NOTEBOOKS
