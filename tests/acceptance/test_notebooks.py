"""The walk-throughs of examples/notebooks, run in a kernel as Jupyter would, and what their cells show."""

import ast
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"
LEFT_BY_READERS = shutil.ignore_patterns("stand-ins", "mlruns", "mlflow.db", "*.jsonl", "__pycache__")
CELL_S = 600
PARAGRAPHS = 24
DOCUMENTS = ("fish", "flood", "grid", "intake", "pipe", "turbine", "visitors", "wages")


class Shown:
    """What the cells of a notebook that was run showed, by their ids."""

    def __init__(self, notebook):
        self._outputs = {cell.id: cell.get("outputs", []) for cell in notebook.cells}

    def value(self, cell):
        """Of its last expression."""
        (found,) = [output for output in self._outputs[cell] if output.output_type == "execute_result"]
        return ast.literal_eval(found.data["text/plain"])

    def printed(self, cell):
        return "".join(output.text for output in self._outputs[cell] if output.output_type == "stream")


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """walk(name) runs a notebook in a copy of the examples, and gives what was shown."""
    place = tmp_path_factory.mktemp("walk")
    examples = shutil.copytree(EXAMPLES, place / "examples", ignore=LEFT_BY_READERS)
    own = {"IPYTHONDIR": str(place / "ipython"), "JUPYTER_RUNTIME_DIR": str(place / "jupyter"), "HF_HUB_OFFLINE": "1"}

    def run(name):
        notebook = nbformat.read(examples / "notebooks" / f"{name}.ipynb", as_version=4)
        where = {"metadata": {"path": str(examples / "notebooks")}}
        NotebookClient(notebook, timeout=CELL_S, kernel_name="python3", resources=where).execute()
        return Shown(notebook)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        for name in [name for name in os.environ if name.endswith("_FOLDER")]:
            patch.delenv(name)  # models of whoever runs the tests
        yield run


def test_gte(walk):
    shown = walk("gte")
    chunk = shown.value("chunk")
    assert chunk["optimizable"] is True
    assert chunk["chunk"] > 0
    assert shown.value("serve") == "READY"
    assert shown.value("ask") == {"shape": (3, 1024), "tokens": 73}  # a token for each byte, and two at the ends
    lengths, cosines = (shown.value("length")[name] for name in ("lengths", "cosines"))
    assert all(length > 2 for length in lengths), "they were not scaled"
    assert [cosines[at][at] for at in range(3)] == [1, 1, 1]
    assert cosines[0][1] == cosines[1][0] < 1
    assert shown.value("long") == {"tokens": 120 * 22 + 2, "dimensions": 1024}
    assert "8192" in shown.value("too-long")
    assert max(shown.value("others").values()) < 0.005


def test_bge(walk):
    shown = walk("bge")
    assert shown.value("serve") == "READY"
    texts = shown.value("texts")
    assert texts["shape"] == (3, 1024)
    assert texts["lengths"] == pytest.approx([1, 1, 1], abs=0.002)
    asked = shown.value("question")
    assert asked["cosine with the instruction written out"] > 0.999
    assert asked["cosine with the bare question"] < 0.999
    found = shown.value("search")
    assert found == sorted(found, reverse=True)
    assert len({text for _, text in found}) == 3
    assert "512" in shown.value("too-long")


def test_deepseek_r1(walk):
    shown = walk("deepseek_r1")
    assert shown.value("serve") == "READY"
    said = shown.value("usage")
    assert said["finish_reason"] == "stop"
    assert said["content"] == "About 8 bar."
    assert said["reasoning_content"].strip() == "Ten metres of water make about one bar, and 80 is eight times ten."
    assert len("Ten metres of water") < said["reasoning_tokens"] < said["completion_tokens"]
    assert said["content"] in shown.printed("ask")
    stream = shown.value("stream")
    assert stream["same thought"]
    assert stream["same answer"]
    assert stream["thoughts first"]
    assert min(stream["deltas"].values()) > 0
    assert shown.value("cut") == {"finish_reason": "length", "content": None}
    held = shown.value("form")
    assert held["thought"] is True
    assert set(held["value"]) == {"bar", "sure"}
    assert 0 <= held["value"]["bar"] <= 999


def test_lora(walk):
    shown = walk("lora")
    trained = shown.value("tune")
    assert 0 < trained["trained"] < trained["all"] / 3
    assert shown.value("compared") == {"adapter": [True] * 3, "base": [False] * 3}
    assert shown.value("together") == {"base": 1, "adapter": 1, "different": True}


def test_rag(walk):
    """Real embeddings: they find the right document for every question."""
    shown = walk("rag")
    passages = shown.value("passages")
    assert passages["shape"] == (PARAGRAPHS, 384)
    assert passages["lengths"] == pytest.approx([1, 1], abs=0.003)
    found = shown.value("found")
    right = ["visitors.md", "flood.md", "turbine.md", "wages.md", "grid.md", "pipe.md"]
    assert list(found.values()) == right
    *known, unknown = shown.value("unknown").values()
    assert min(known) > unknown
    for document, answer in zip(right, shown.value("answer"), strict=False):
        assert answer["document"] == document
        text = " ".join((EXAMPLES / "notebooks" / "documents" / document).read_text().split())
        assert answer["quote"] in text
    prompt = shown.value("prompt")
    assert prompt["with passages"] > prompt["without passages"] + 100


def test_batch(walk):
    shown = walk("batch")
    assert shown.value("rows") == PARAGRAPHS
    assert "8 rows were answered to learn from" in " ".join(shown.printed("estimate").split())
    estimated = shown.value("estimated")
    assert estimated["answered"] == 8
    assert estimated["estimated"] >= 0
    assert f"{PARAGRAPHS} rows were answered and 0 have errors" in " ".join(shown.printed("run").split())
    answers = shown.value("answers")
    assert answers["ids"] == [f"{name}-{number}" for name in DOCUMENTS for number in range(3)]
    assert answers["errors"] == 0
    assert answers["tokens in"] > PARAGRAPHS * 20
    assert 0 < answers["most of a row"] <= 40
    assert answers["most of a row"] <= answers["tokens out"] <= 40 * PARAGRAPHS
    assert f"{PARAGRAPHS} of {PARAGRAPHS} rows are done already" in shown.value("again")
    server = shown.value("server")
    assert (server["status"], server["completed"], server["failed"]) == ("completed", PARAGRAPHS, 0)
    assert server["ids"] == answers["ids"]


def test_compare(walk):
    shown = walk("compare")
    assert shown.value("serve") == "READY"
    guide, thinner = (shown.value("measure")[name] for name in ("guide", "thinner"))
    assert guide["tokens scored"] == thinner["tokens scored"] > 100
    likely = "log probability per token"
    assert guide[likely] > -0.1, "it knows its text"
    assert thinner[likely] < guide[likely] - 0.1
    assert guide["right"] > thinner["right"]
    assert min(guide["ms per token"], thinner["ms per token"]) > 0
    answered = shown.value("split")
    assert sum(answered.values()) == 120
    assert answered["guide"] > answered["thinner"] > 0
    assert shown.value("back") == {"guide": 20}


def test_none_is_left_out():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in (EXAMPLES / "notebooks").glob("*.ipynb")} <= tested
