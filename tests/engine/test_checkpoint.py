"""Where a model's files are, and what is asked of them."""

import json
import shutil

import numpy as np
import pytest
from tiny_models import write_model, write_safetensors

from penstock_engine.checkpoint import INDEX, Checkpoint, ModelFolder
from penstock_engine.errors import CheckpointError

ONE = np.ones((2, 2))


def opened(folder):
    return Checkpoint(ModelFolder.open(folder))


def sharded(folder, weight_map):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return folder


def test_plain_folder(tmp_path):
    folder = ModelFolder.open(write_model(tmp_path))
    assert (folder.weights, folder.tokenizer) == (tmp_path, tmp_path)


def test_mlflow_tree(tmp_path):
    write_model(tmp_path / "model")
    (tmp_path / "MLmodel").write_text("flavors: {}")
    (tmp_path / "components" / "tokenizer").mkdir(parents=True)
    folder = ModelFolder.open(tmp_path)
    assert folder.weights == tmp_path / "model"
    assert folder.tokenizer == tmp_path / "components" / "tokenizer"
    shutil.rmtree(tmp_path / "components")
    assert ModelFolder.open(tmp_path).tokenizer == tmp_path / "model"


def test_neither_layout(tmp_path):
    with pytest.raises(CheckpointError, match="neither config"):
        ModelFolder.open(tmp_path)


def test_follows_the_index_and_nothing_else(tmp_path):
    sharded(tmp_path, {"a": "1.safetensors", "b": "2.safetensors"})
    write_safetensors(tmp_path / "1.safetensors", {"a": ONE})
    write_safetensors(tmp_path / "2.safetensors", {"b": ONE})
    write_safetensors(tmp_path / "consolidated.safetensors", {"a": ONE, "c": ONE})
    write_safetensors(tmp_path / "model.safetensors", {"c": ONE})
    checkpoint = opened(tmp_path)
    assert "c" not in checkpoint
    assert checkpoint.parameters() == 8
    checkpoint.tensor("b", (2, 2))
    assert checkpoint.unused() == ("a",)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "x.bin", ".."])
def test_an_index_does_not_lead_out_of_the_folder(tmp_path, name):
    write_safetensors(tmp_path / "secret.safetensors", {"a": ONE})
    with pytest.raises(CheckpointError, match="not a safetensors file beside it"):
        opened(sharded(tmp_path / "model", {"a": name}))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "[" * 100_000])
def test_a_damaged_index_is_refused(tmp_path, content):
    sharded(tmp_path, {})
    (tmp_path / INDEX).write_text(content)
    with pytest.raises(CheckpointError, match=r"weight_map|cannot be read"):
        opened(tmp_path)


def test_a_missing_shard_and_a_tensor_in_two_shards_are_refused(tmp_path):
    sharded(tmp_path, {"a": "1.safetensors", "b": "2.safetensors"})
    write_safetensors(tmp_path / "1.safetensors", {"a": ONE})
    with pytest.raises(CheckpointError, match=r"2\.safetensors is missing"):
        opened(tmp_path)
    write_safetensors(tmp_path / "2.safetensors", {"a": ONE})
    with pytest.raises(CheckpointError, match="is in both"):
        opened(tmp_path)


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"pickles \(\.bin\).*save_pretrained"):
        opened(tmp_path)


def test_a_tensor_of_another_shape_is_refused(tmp_path):
    checkpoint = opened(write_model(tmp_path))
    with pytest.raises(CheckpointError, match=r"has shape \(128,\), config.json says \(64,\)"):
        checkpoint.tensor("model.norm.weight", (64,))
    with pytest.raises(CheckpointError, match="'nothing' is missing"):
        checkpoint.tensor("nothing")


def test_weights_that_were_saved_around_an_adapter_are_read_where_the_adapter_is_beside_them(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "MLmodel").write_text("flavors: {}")
    (folder / "config.json").write_text("{}")
    tensors = {"q.base_layer.weight": ONE, "q.lora_A.default.weight": ONE, "norm.weight": ONE}
    write_safetensors(folder / "model.safetensors", tensors)
    assert opened(tmp_path).unused() == tuple(sorted(tensors)), "nothing is left out that no adapter has"
    (tmp_path / "peft").mkdir()
    (tmp_path / "peft" / "adapter_config.json").write_text("{}")
    checkpoint = opened(tmp_path)
    checkpoint.tensor("q.weight", (2, 2))
    assert checkpoint.unused() == ("norm.weight",)
    assert checkpoint.parameters() == 8
