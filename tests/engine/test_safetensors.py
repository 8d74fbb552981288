"""Files that are cut short, damaged or made to harm are refused before any of their bytes are used."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import safetensors, write_safetensors

from penstock_engine.errors import CheckpointError
from penstock_engine.safetensors import SafetensorsFile

GOOD = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
DATA = bytes(16)


def test_reads_what_was_written(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_safetensors(tmp_path / "a", {"x": array, "y": array[0]})
    file = SafetensorsFile(tmp_path / "a")
    assert file.names() == ("x", "y")
    assert file.tensor("x").dtype == "BF16"
    assert (file.tensor("x").data == array.view(np.uint32) >> 16).all()
    file.drop_pages()
    assert file.tensor("y").data.tolist() == (array[0].view(np.uint32) >> 16).tolist()


def test_metadata_is_no_tensor_and_odd_headers_are_read(tmp_path):
    (tmp_path / "a").write_bytes(safetensors({"__metadata__": {"format": "pt"}, "xyz": GOOD}, DATA))
    assert SafetensorsFile(tmp_path / "a").tensor("xyz").data.tolist() == [[0, 0], [0, 0]]


HOSTILE = {
    "empty": (b"", "cannot be read"),
    "seven bytes": (b"1234567", "cut short: 7 bytes"),
    "huge length": (struct.pack("<Q", 2**63) + b"{}", "claims"),
    "header cut": (safetensors({"x": GOOD}, DATA)[:20], "claims"),
    "not JSON": (safetensors(b"{,}"), "not JSON"),
    "not text": (safetensors(b"\xff\xfe\xfd"), "not JSON"),
    "deep": (safetensors(b"[" * 200_000), "not JSON"),
    "a list": (safetensors(b"[]"), "not a JSON object"),
    "twins": (safetensors(b'{"x": 1, "x": 2}'), "twice"),
    "no description": (safetensors({"x": 3}), "no description"),
    "unknown type": (safetensors({"x": GOOD | {"dtype": "F8_E4M3"}}, DATA), "F8_E4M3"),
    "type is a list": (safetensors({"x": GOOD | {"dtype": ["F32"]}}, DATA), "does not read"),
    "negative shape": (safetensors({"x": GOOD | {"shape": [-2, -2]}}, DATA), "whole numbers"),
    "shape of floats": (safetensors({"x": GOOD | {"shape": [2.0, 2]}}, DATA), "whole numbers"),
    "shape of booleans": (safetensors({"x": GOOD | {"shape": [True, 4]}}, DATA), "whole numbers"),
    "no offsets": (safetensors({"x": {"dtype": "F32", "shape": [2]}}, DATA), "whole numbers"),
    "three offsets": (safetensors({"x": GOOD | {"data_offsets": [0, 8, 16]}}, DATA), "whole numbers"),
    "backwards": (safetensors({"x": GOOD | {"data_offsets": [16, 0]}}, DATA), "outside the file"),
    "data cut": (safetensors({"x": GOOD}, DATA[:15]), "outside the file"),
    "too large a shape": (safetensors({"x": GOOD | {"shape": [2**40, 2**40]}}, DATA), "needs"),
    "overlap": (safetensors({"x": GOOD, "y": GOOD | {"data_offsets": [8, 24]}}, bytes(24)), "overlaps"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_hostile_files(tmp_path, name):
    content, reason = HOSTILE[name]
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(CheckpointError, match=reason):
        SafetensorsFile(tmp_path / "a")


def test_says_that_a_file_is_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"a\.safetensors is missing"):
        SafetensorsFile(tmp_path / "a.safetensors")


@given(content=st.binary(max_size=64), cut=st.integers(0, 120), flip=st.integers(0, 119), value=st.integers(0, 255))
def test_random_damage_is_refused_or_stays_inside_the_file(tmp_path_factory, content, cut, flip, value):
    good = safetensors({"x": GOOD, "y": {"dtype": "U8", "shape": [4], "data_offsets": [16, 20]}}, DATA + b"1234")
    damaged = bytearray(good[: len(good) - cut % len(good)] + content)
    damaged[flip % len(damaged)] = value
    path = tmp_path_factory.mktemp("damage") / "a"
    path.write_bytes(damaged)
    try:
        file = SafetensorsFile(path)
    except CheckpointError:
        return
    assert sum(file.tensor(name).data.nbytes for name in file.names()) <= len(damaged)
