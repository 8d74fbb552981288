"""A build does its work once, and tells each stage."""

import re

import numpy as np
import pytest
from tiny_models import BERT, LLAMA, write_model

from penstock_engine.build import build
from penstock_engine.errors import CheckpointError
from penstock_engine.safetensors import SafetensorsFile
from penstock_engine.weights import Weights
from penstock_engine.work import Precision


def lines_of(model, cache, precision=Precision.INT8):
    lines = []
    build(model, cache, precision, lines.append)
    return lines


@pytest.mark.parametrize("config", [LLAMA, BERT])
def test_the_second_build_converts_nothing(tmp_path, config):
    model = write_model(tmp_path / "model", config)
    first, second = (lines_of(model, tmp_path / "cache") for _ in range(2))
    assert any(re.fullmatch(r"converted in \d+\.\d\d s", line) for line in first)
    assert not any(line.startswith("converted") for line in second)
    for lines in (first, second):
        assert any(re.match(r"read: [\d,]+ parameters, [\d,]+ bytes in \d", line) for line in lines)
        assert lines[-1] == "built"


def test_weights_in_bf16_stay_where_they_are(tmp_path, monkeypatch):
    """Only what is joined is written anew; the rest is mapped from the checkpoint."""
    model, mapped = write_model(tmp_path / "model"), []
    shared = Weights._shared

    def spy(self, array, *, bf16=False):
        mapped.append(array)
        return shared(self, array, bf16=bf16)

    monkeypatch.setattr(Weights, "_shared", spy)
    build(model, tmp_path / "cache", Precision.BF16, print)
    file = next((tmp_path / "cache").glob("*/data.bin"))
    joined = 2 * 256 * 128 * 2  # layers, rows of q, k and v, columns, bytes
    assert joined <= file.stat().st_size < joined + 2 * 65536
    assert not any(array.flags.owndata for array in mapped if not (array == 0).all())


def test_a_cut_file_is_told_before_anything_is_written(tmp_path):
    model = write_model(tmp_path / "model")
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut short"):
        build(model, tmp_path / "cache", Precision.INT8, print)
    assert not (tmp_path / "cache").exists()


def test_weights_that_are_no_numbers_are_told_by_name(tmp_path):
    model = write_model(tmp_path / "model")
    path = model / "model.safetensors"
    tensor = SafetensorsFile(path).tensor("model.layers.1.mlp.up_proj.weight")
    content = path.read_bytes()
    place = content.index(tensor.data.tobytes()[:64])
    path.write_bytes(content[:place] + np.array([0x7FC0], np.uint16).tobytes() + content[place + 2 :])
    with pytest.raises(CheckpointError, match=r"model.layers.1.mlp.up_proj.weight: .* not finite"):
        build(model, tmp_path / "cache", Precision.INT8, print)
    assert not list((tmp_path / "cache").glob("*/index.json"))
