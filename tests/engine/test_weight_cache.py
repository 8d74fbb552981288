"""Entries are whole or not there, whoever dies in between, and are made once however many want them."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tiny_models import write_model

from penstock_engine.checkpoint import ModelFolder
from penstock_engine.errors import EngineError
from penstock_engine.weight_cache import WeightCache
from penstock_engine.work import Precision

ARRAYS = (np.arange(12, dtype=np.uint8).reshape(3, 4), np.ones((3, 1), np.float32))


def filled(cache, key="k", arrays=ARRAYS):
    """The arrays of an entry, and how often they had to be made."""
    made = []

    def make():
        made.append(1)
        return arrays

    entry = cache.entry(key, lambda writer: writer.get("x", make))
    return entry.get("x", make), len(made)


def same(found, arrays=ARRAYS):
    return all((one == other).all() and one.dtype == other.dtype for one, other in zip(found, arrays, strict=True))


def test_the_second_time_comes_from_the_disk(tmp_path):
    first, made = filled(WeightCache(tmp_path))
    assert made == 1
    assert same(first)
    second, made = filled(WeightCache(tmp_path))
    assert made == 0
    assert same(second)


def test_mapped_arrays_outlive_the_entry_and_the_drop_of_their_pages(tmp_path):
    entry = WeightCache(tmp_path).entry("k", lambda writer: writer.get("x", lambda: ARRAYS))
    found = entry.get("x", tuple)
    entry.drop_pages()
    del entry
    assert same(found)


def test_a_name_that_the_entry_lacks_is_said(tmp_path):
    entry = WeightCache(tmp_path).entry("k", lambda _: None)
    assert entry.size == 0
    with pytest.raises(EngineError, match="lacks 'x'"):
        entry.get("x", lambda: ARRAYS)


def test_an_exception_leaves_nothing(tmp_path):
    cache = WeightCache(tmp_path)

    def fails(writer):
        writer.get("x", lambda: ARRAYS)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.entry("k", fails)
    assert not [path for path in tmp_path.iterdir() if path.is_dir() and path.name != "digests"]
    assert filled(cache)[1] == 1


KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from penstock_engine.errors import EngineError
from penstock_engine.weight_cache import WeightCache
where = sys.argv[2]
cache = WeightCache(Path(sys.argv[1]))
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
def fill(writer):
    writer.get("x", lambda: (np.zeros(100_000, np.uint8),))
    if where == "between arrays":
        die()
    if where == "before the index":
        writer.finish = die
    if where == "before the rename":
        Path.rename = die
cache.entry("k", fill)
"""


@pytest.mark.parametrize("where", ["between arrays", "before the index", "before the rename"])
def test_a_killed_writer_leaves_nothing_half_valid(tmp_path, where):
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path, where], timeout=60, check=False)
    assert done.returncode == -9
    assert list(tmp_path.glob("k.part-*"))
    found, made = filled(WeightCache(tmp_path))
    assert made == 1
    assert same(found)
    assert not list(tmp_path.glob("k.part-*"))


RACING = """
import sys, time
import numpy as np
from pathlib import Path
from penstock_engine.errors import EngineError
from penstock_engine.weight_cache import WeightCache
made = []
def make():
    made.append(1)
    print("making", flush=True)
    sys.stdin.readline()
    return (np.arange(5000, dtype=np.float32),)
entry = WeightCache(Path(sys.argv[1])).entry("k", lambda writer: writer.get("x", make))
(found,) = entry.get("x", make)
print(len(made), int(found.sum()), flush=True)
"""


def test_two_processes_make_an_entry_once(tmp_path):
    command = [sys.executable, "-c", RACING, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first:
        assert first.stdout.readline() == "making\n"
        with subprocess.Popen(command, **pipes) as second:  # finds the lock taken, or the entry finished
            assert first.communicate("go\n", timeout=60)[0] == "1 12497500\n"
            assert second.communicate("go\n", timeout=60)[0] == "0 12497500\n"


def damage_index(folder):
    (folder / "index.json").write_text("{")


def damage_data(folder):
    with (folder / "data.bin").open("r+b") as file:
        file.truncate(3)


def damage_version(folder):
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(index | {"version": -1}))


def damage_offset(folder):
    index = json.loads((folder / "index.json").read_text())
    index["arrays"]["x"][0]["offset"] = 1 << 40
    (folder / "index.json").write_text(json.dumps(index))


def damage_type(folder):
    index = json.loads((folder / "index.json").read_text())
    index["arrays"]["x"][0]["dtype"] = "object"
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("damage", [damage_index, damage_data, damage_version, damage_offset, damage_type])
def test_a_damaged_entry_is_made_again(tmp_path, damage):
    filled(WeightCache(tmp_path))
    damage(tmp_path / "k")
    found, made = filled(WeightCache(tmp_path))
    assert made == 1
    assert same(found)


def test_the_key_follows_content_and_precision(tmp_path):
    cache = WeightCache(tmp_path / "cache")
    model = ModelFolder.open(write_model(tmp_path / "a"))
    key = cache.key(model, Precision.INT8)
    assert cache.key(model, Precision.BF16) != key
    copy = ModelFolder.open(write_model(tmp_path / "b"))
    assert cache.key(copy, Precision.INT8) == key
    write_model(tmp_path / "a", seed=1)
    assert cache.key(model, Precision.INT8) != key
    write_model(tmp_path / "b", rms_norm_eps=1e-6)
    assert cache.key(copy, Precision.INT8) != key
