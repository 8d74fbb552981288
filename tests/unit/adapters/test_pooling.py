"""How vLLM is told to make one vector of a text's, from the files that say it."""

import json
from pathlib import Path

import pytest

from penstock.adapters.engines.pooling import Head, Pooling, read_pooling
from penstock.adapters.engines.vllm import VllmRecipe
from penstock.domain.errors import EngineFailed
from penstock.domain.model import ModelFacts, Precision, Shape, Task
from penstock.domain.vllm_plan import GIB, Hardware, Wishes
from penstock.ports.engine import EngineSpec

BGE = ModelFacts(
    Task.EMBEDDINGS, "bge-large", "BertModel", 10**8, 2 * 10**8, 512, Shape(24, 1024, 4096, 16, 0, 64, 30_522), True,
    False, None,
)  # fmt: skip
NORMAL = [{"type": f"sentence_transformers.models.{kind}"} for kind in ("Transformer", "Pooling", "Normalize")]


def write(folder, pooling=None, modules=None):
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    if pooling is not None:
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    if modules is not None:
        (folder / "modules.json").write_text(json.dumps(modules))


def test_the_first_folder_that_says_it_counts(tmp_path):
    write(tmp_path / "b", {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, NORMAL[:2])
    write(tmp_path / "c", {"pooling_mode_cls_token": True}, NORMAL)
    places = [tmp_path / name for name in "abc"]
    assert read_pooling(places[:1]) == Head()
    assert read_pooling(places) == Head(Pooling.MEAN, normalised=False)
    assert read_pooling(places[2:]) == Head(Pooling.FIRST, normalised=True)


@pytest.mark.parametrize(
    ("pooling", "modules", "why"),
    [
        ({"pooling_mode_max_tokens": True}, None, "Pooling pooling_mode_max_tokens cannot be served"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_cls_token": True}, None, "cannot be served"),
        ({}, None, "Pooling none"),
        (None, [*NORMAL, {"type": "a.Dense"}], "has Dense, which changes the vectors"),
    ],
)
def test_what_cannot_be_done_is_told(tmp_path, pooling, modules, why):
    write(tmp_path, pooling, modules)
    with pytest.raises(EngineFailed, match=why):
        read_pooling([tmp_path])


def test_a_damaged_file_is_told(tmp_path):
    (tmp_path / "modules.json").write_text("{")
    with pytest.raises(EngineFailed, match=r"modules.json cannot be read"):
        read_pooling([tmp_path])


@pytest.mark.parametrize(
    ("pooling", "modules", "told"),
    [
        (None, None, {"pooling_type": "CLS", "use_activation": True}),
        ({"pooling_mode_mean_tokens": True}, NORMAL[:2], {"pooling_type": "MEAN", "use_activation": False}),
    ],
)
def test_an_embedding_model_is_served_as_its_files_say_or_as_berts_are(tmp_path, pooling, modules, told):
    recipe = VllmRecipe("/v/python", "0.33.0", Hardware(1, 80 * GIB, 64 * GIB), Wishes(), max_queue=4)
    write(tmp_path / "code", pooling, modules)
    needs = recipe.needs(BGE, Precision.BF16)
    spec = EngineSpec(tmp_path, tmp_path, BGE, "main.a.b/1", Precision.BF16, needs)
    command = recipe.serve(spec, "vllm+http://127.0.0.1:8123", Path("log")).command
    assert json.loads(command[command.index("--pooler-config") + 1]) == told
    assert command[command.index("--port") + 1] == "8123"
