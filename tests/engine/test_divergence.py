"""How far eight bits lead from sixteen is measured once and bounded."""

import json

import numpy as np
import pytest
from tiny_models import BERT, LLAMA, write_model

from penstock_engine import divergence, loader, memory, quantise
from penstock_engine.architectures.plan import Kind
from penstock_engine.build import build
from penstock_engine.divergence import NOTE, Divergence, between, check_divergence, read_note, write_note
from penstock_engine.errors import SelfCheckFailed
from penstock_engine.work import Precision

ROWS = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)


def test_the_same_rows_do_not_diverge():
    found = between(ROWS, ROWS, Kind.DECODER)
    assert found.cosine == pytest.approx(1)
    assert found.nats == pytest.approx(0, abs=1e-9)


def test_nats_are_those_of_what_is_said_next():
    one, other = np.log(np.array([[0.5, 0.5]])), np.log(np.array([[0.9, 0.1]]))
    expected = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    assert between(one, other + 3, Kind.DECODER).nats == pytest.approx(expected)


def test_one_bad_row_of_many_is_not_the_median():
    turned = ROWS.copy()
    turned[0] *= -1
    assert between(ROWS, turned, Kind.ENCODER) == Divergence(pytest.approx(1), 0.0)
    with pytest.raises(SelfCheckFailed, match=r"median cosine -1\.0.*serve it in bf16"):
        check_divergence(between(ROWS, -ROWS, Kind.ENCODER), Kind.ENCODER)
    with pytest.raises(SelfCheckFailed):
        check_divergence(Divergence(float("nan"), 0.0), Kind.DECODER)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cosine": "x", "nats": 1}', '{"cosine": null, "nats": 1}'])
def test_a_damaged_note_is_measured_again(tmp_path, content):
    write_note(tmp_path, Divergence(0.99, 0.01))
    assert read_note(tmp_path) == Divergence(0.99, 0.01)
    (tmp_path / NOTE).write_text(content)
    assert read_note(tmp_path) is None


@pytest.mark.parametrize("config", [LLAMA, BERT])
def test_measured_by_the_first_load_and_told_by_all(tmp_path, config):
    model, told = write_model(tmp_path / "model", config), []
    for _ in range(2):
        lines = []
        build(model, tmp_path / "cache", Precision.INT8, lines.append)
        told.append(lines)
    first, second = ([line for line in lines if "int8 against bf16: median cosine 0.9" in line] for lines in told)
    assert first == second
    assert len(first) == 1
    assert any(line.startswith("measured in 16 bits") for line in told[0])
    assert not any(line.startswith("measured in 16 bits") for line in told[1])


@pytest.mark.parametrize("config", [LLAMA, BERT])
def test_weights_that_eight_bits_cannot_hold_are_refused(tmp_path, monkeypatch, config):
    monkeypatch.setattr(quantise, "LEVELS", 2)
    monkeypatch.setattr(quantise, "SYMMETRIC_LEVELS", 1)
    model = write_model(tmp_path / "model", config)
    for _ in range(2):  # the second time from the note
        with pytest.raises(SelfCheckFailed, match="8-bit weights lead this model too far"):
            build(model, tmp_path / "cache", Precision.INT8, print)


def test_without_memory_it_is_not_measured_and_that_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(loader, "available_memory", lambda: 1000)
    lines = []
    build(write_model(tmp_path / "model"), tmp_path / "cache", Precision.INT8, lines.append)
    assert any("not measured" in line and "1,000 are free" in line for line in lines)
    assert not list((tmp_path / "cache").glob(f"*/{NOTE}"))


def test_what_memory_is_there(tmp_path, monkeypatch):
    for name in ("MEMINFO", "LIMIT", "USED"):
        monkeypatch.setattr(memory, name, tmp_path / name)
    assert memory.available_memory() is None
    (tmp_path / "MEMINFO").write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    assert memory.available_memory() == 4000 * 1024
    (tmp_path / "USED").write_text("1000000\n")
    for limit, available in (("max\n", 4000 * 1024), ("1500000\n", 500_000), ("900000", 0)):
        (tmp_path / "LIMIT").write_text(limit)
        assert memory.available_memory() == available


def test_the_note_is_json(tmp_path):
    write_note(tmp_path, Divergence(0.9, 0.1))
    assert json.loads((tmp_path / divergence.NOTE).read_text()) == {"cosine": 0.9, "nats": 0.1}
