"""The fused kernel is used only where a trial has shown it to be right."""

import sys

import numpy as np
import pytest
from openvino import opset15 as op
from tiny_models import write_model

from penstock_engine import fusion, graph
from penstock_engine.fusion import Fusion
from penstock_engine.loader import load_decoder
from penstock_engine.work import Precision, Work


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """trial(shell command): what a trial does instead; notes each in a file. The machine has AMX and two threads."""
    monkeypatch.setattr(fusion, "has_amx", lambda: True)
    monkeypatch.setattr(fusion, "thread_count", lambda: 2)
    runs = tmp_path / "runs"
    runs.touch()

    def instead(command):
        program = tmp_path / "python"
        program.write_text(f'#!/bin/sh\necho "$@" >> {runs}\n{command}\n')
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        return runs

    return instead


@pytest.mark.parametrize(("command", "allowed"), [("exit 0", True), ("exit 1", False), ("kill -SEGV $$", False)])
def test_a_trial_is_made_once_and_remembered(tmp_path, trial, command, allowed):
    runs = trial(command)
    assert [Fusion(tmp_path / "notes").allows(128, 256) for _ in range(3)] == [allowed] * 3
    assert runs.read_text() == "-m penstock_engine.fusion 128 256\n"
    Fusion(tmp_path / "notes").allows(128, 512)
    assert len(runs.read_text().splitlines()) == 2


def test_a_trial_that_cannot_be_made_is_asked_again(tmp_path, trial, monkeypatch):
    runs = trial("exit 0")
    known = sys.executable
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    assert not Fusion(tmp_path / "notes").allows(128, 256)
    monkeypatch.setattr(sys, "executable", known)
    assert Fusion(tmp_path / "notes").allows(128, 256)
    assert len(runs.read_text().splitlines()) == 1


def test_no_trial_where_the_kernel_cannot_work(tmp_path, trial, monkeypatch):
    runs = trial("exit 0")
    assert not Fusion(tmp_path).allows(100, 256)
    assert not Fusion(tmp_path).allows(128, 250)
    monkeypatch.setattr(fusion, "thread_count", lambda: 3)
    assert not Fusion(tmp_path).allows(128, 256)
    monkeypatch.setattr(fusion, "thread_count", lambda: 2)
    monkeypatch.setattr(fusion, "has_amx", lambda: False)
    assert not Fusion(tmp_path).allows(128, 256)
    assert runs.read_text() == ""


def test_the_trial_knows_right_from_wrong(monkeypatch):
    """Unfused, as on machines without AMX, the library is right; a layer that forgets a part is not."""
    monkeypatch.setattr(fusion, "feed_forward", unfused)
    assert fusion.is_right(128, 256)
    monkeypatch.setattr(fusion, "feed_forward", lambda x, gate, _, down: unfused(x, gate, gate, down))
    assert not fusion.is_right(128, 256)


def unfused(x, gate, up, down):
    return graph.linear(op.multiply(graph.silu(graph.linear(x, gate)), graph.linear(x, up)), down)


@pytest.mark.parametrize(("hidden", "inner"), [(128, 192), (64, 64), (128, 64)])
def test_a_model_is_the_same_fused_or_not_over_one_cache_entry(tmp_path, monkeypatch, hidden, inner):
    model = write_model(tmp_path / "model", hidden_size=hidden, intermediate_size=inner)
    tokens, blocks = np.arange(60), np.arange(2, dtype=np.int32)

    def rows(precision):
        decoder = load_decoder(model, tmp_path / "cache", precision, 4 << 20, print)
        return np.array(decoder.step([Work(0, tokens, blocks, 60)]))

    exact, either = rows(Precision.FP32), rows(Precision.INT8)
    monkeypatch.setattr(Fusion, "allows", lambda *_: False)
    for found in (either, rows(Precision.INT8)):
        cosines = (found * exact).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(exact, axis=1)
        assert cosines.min() > 0.995
    assert len(list((tmp_path / "cache").glob("*/data.bin"))) == 2
