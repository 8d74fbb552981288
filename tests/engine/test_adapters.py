"""LoRA adapters: the graph adds what merging would, several at a time, and nothing leaks from one to another."""

import json

import numpy as np
import pytest
from tiny_adapters import ALL, ATTENTION, write_adapter, write_base, write_f32
from tiny_families import DBRX, write_family
from tiny_models import BERT, write_model

from penstock_engine.__main__ import main
from penstock_engine.adapter import read_adapter
from penstock_engine.build import build
from penstock_engine.deltas import Stack
from penstock_engine.errors import CheckpointError, UnsupportedModel
from penstock_engine.loader import load_decoder
from penstock_engine.work import Precision, Work

KV_BYTES = 4 << 20
RNG = np.random.default_rng(1)
LONG, SHORT = (RNG.integers(0, 320, length) for length in (70, 41))
KINDS = {
    "attention": {"modules": ATTENTION, "rank": 4},
    "all": {"modules": ALL, "rank": 8, "seed": 2, "use_rslora": True},
    "strong": {"modules": ("o_proj", "down_proj"), "rank": 2, "seed": 3, "lora_alpha": 32},
}


def blocks(*numbers):
    return np.array(numbers, np.int32)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The base model with all adapters, and what each model with an adapter merged in says of two prompts."""
    folder = tmp_path_factory.mktemp("adapters")
    base = write_base(folder / "base")
    merged = {"": base} | {name: write_adapter(folder / name, base, **kind) for name, kind in KINDS.items()}
    expected = {}
    for name, tensors in merged.items():
        write_base(folder / f"merged-{name}", tensors)
        alone = load_decoder(folder / f"merged-{name}", folder / "cache", Precision.FP32, KV_BYTES, print)
        rows = (alone.step([Work(0, tokens, blocks(0, 1, 2), tokens.size)]) for tokens in (LONG, SHORT))
        expected[name] = [np.array(each) for each in rows]
    return folder, expected


def opened(folder, precision=Precision.FP32, names=tuple(KINDS)):
    places = {name: folder / name for name in names}
    return load_decoder(folder / "base", folder / "cache", precision, KV_BYTES, print, adapters=places)


def test_adapters_side_by_side_say_what_merged_models_say(world):
    folder, expected = world
    decoder = opened(folder)
    assert list(decoder.adapters) == list(KINDS)
    names = ["", *KINDS]
    first = [Work(0, LONG[:33], blocks(3 * at, 3 * at + 1, 3 * at + 2), 0, name) for at, name in enumerate(names)]
    decoder.step(first)
    rest = [Work(33, LONG[33:], each.blocks, 37, each.adapter) for each in first]
    rows = np.array(decoder.step([*rest, Work(0, SHORT, blocks(20, 21), 41, "all")]))
    for at, name in enumerate(names):
        np.testing.assert_allclose(rows[37 * at : 37 * (at + 1)], expected[name][0][33:], atol=2e-4)
    np.testing.assert_allclose(rows[-41:], expected["all"][1], atol=2e-4)
    assert np.abs(expected["all"][0] - expected[""][0]).max() > 0.1


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.BF16])
def test_in_fewer_bits(world, precision):
    folder, expected = world
    decoder = opened(folder, precision)
    for name in ("", *KINDS):
        found = decoder.step([Work(0, LONG, blocks(0, 1, 2), 70, name)])
        one, other = found, expected[name][0]
        cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
        assert np.median(cosines) > 0.99


def test_adapters_come_and_go(world):
    folder, expected = world
    decoder = opened(folder, names=("attention",))
    decoder.use(decoder.stack([read_adapter(name, folder / name) for name in ("strong", "all")]))
    found = decoder.step([Work(0, SHORT, blocks(0, 1), 41, "all"), Work(0, SHORT, blocks(2, 3), 41, "strong")])
    np.testing.assert_allclose(found[:41], expected["all"][1], atol=2e-4)
    np.testing.assert_allclose(found[41:], expected["strong"][1], atol=2e-4)
    with pytest.raises(ValueError, match="no adapter 'attention'"):
        decoder.step([Work(0, SHORT, blocks(0, 1), 1, "attention")])
    decoder.use(decoder.stack([]))
    found = decoder.step([Work(0, SHORT, blocks(0, 1), 41)])
    np.testing.assert_allclose(found, expected[""][1], atol=2e-4)


def test_room_is_computed_whole_and_what_is_more_is_refused(world):
    folder, expected = world
    some = {"attention": folder / "attention"}
    adapters = {name: read_adapter(name, folder / name) for name in ("attention", "all")}
    room = adapters["attention"].rank + adapters["all"].rank
    decoder = load_decoder(
        folder / "base", folder / "cache", Precision.FP32, KV_BYTES, print, adapters=some, adaptable=True, room=room
    )
    assert decoder.stack([]).width == decoder.stack(adapters.values()).width == room
    found = decoder.step([Work(0, SHORT, blocks(0, 1), 41, "attention"), Work(0, SHORT, blocks(2, 3), 41)])
    np.testing.assert_allclose(found[:41], expected["attention"][1], atol=2e-4)
    np.testing.assert_allclose(found[41:], expected[""][1], atol=2e-4)
    more = read_adapter("more", folder / "strong")
    with pytest.raises(
        CheckpointError, match=f"no room for adapter 'more' of rank {more.rank}: .* be {room}, and {room} "
    ):
        decoder.stack([*adapters.values(), more])


def test_shares_belong_to_their_tokens():
    made = Stack({}, {"a": slice(0, 2), "b": slice(2, 3)}, 3).shares(["b", "", "a"], [1, 2, 1])
    assert made.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 1, 0]]


def test_a_logged_adapter_and_names_with_strengths_of_their_own(tmp_path):
    base = write_base(tmp_path / "base")
    write_adapter(tmp_path / "version" / "peft", base, alpha_pattern={"layers.0.self_attn.q_proj": 32, "v_proj": 16})
    write_adapter(tmp_path / "plain", base)
    own, plain = (read_adapter("x", tmp_path / each).pairs for each in ("version", "plain"))
    for layer, factor in ((0, 4), (1, 1)):
        name = f"model.layers.{layer}.self_attn.q_proj"
        np.testing.assert_allclose(own[name].up, plain[name].up * factor, rtol=1e-6)
    name = "model.layers.1.self_attn.v_proj"
    np.testing.assert_allclose(own[name].up, plain[name].up * 2, rtol=1e-6)


REFUSED = {
    "another kind": ({"peft_type": "IA3"}, "type 'IA3'"),
    "dora": ({"use_dora": True}, "use_dora"),
    "biases": ({"bias": "lora_only"}, "with bias"),
    "modules": ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    "patterns": ({"alpha_pattern": {"^model.*q_proj": 3}}, "alpha_pattern"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_more_than_lora_is_refused(tmp_path, name):
    changes, reason = REFUSED[name]
    write_adapter(tmp_path / "adapter", write_base(tmp_path / "base"), **changes)
    with pytest.raises(UnsupportedModel, match=reason):
        read_adapter("x", tmp_path / "adapter")


@pytest.mark.parametrize(
    ("tensors", "error", "reason"),
    [
        ({}, CheckpointError, "no matrices"),
        ({"a.lora_A.weight": (2, 3)}, UnsupportedModel, "not one of LoRA"),
        ({"base_model.model.a.lora_embedding_A": (2, 3)}, UnsupportedModel, "not one of LoRA"),
        ({"base_model.model.a.lora_A.weight": (2, 3)}, CheckpointError, "only one of the two"),
        (
            {"base_model.model.a.lora_A.weight": (2, 3), "base_model.model.a.lora_B.weight": (3, 4)},
            CheckpointError,
            "do not fit each other",
        ),
        (
            {"base_model.model.a.lora_A.weight": (2,), "base_model.model.a.lora_B.weight": (3, 2)},
            CheckpointError,
            "not a matrix",
        ),
    ],
)
def test_damaged_adapters_are_refused(tmp_path, tensors, error, reason):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    write_f32(tmp_path / "adapter_model.safetensors", {name: np.ones(shape) for name, shape in tensors.items()})
    with pytest.raises(error, match=reason):
        read_adapter("x", tmp_path)


def test_a_pickled_adapter_is_refused(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"adapter_model\.bin is a pickle"):
        read_adapter("x", tmp_path)


def test_an_adapter_of_another_model_is_refused(world, tmp_path):
    folder, _ = world
    for tensors, error, reason in (
        ({"model.layers.0.self_attn.q_proj.weight": np.ones((64, 64), np.float32)}, CheckpointError, "not made for"),
        ({"model.layers.9.self_attn.q_proj.weight": np.ones((128, 128), np.float32)}, UnsupportedModel, "layers.9"),
    ):
        write_adapter(tmp_path / "other", tensors)
        with pytest.raises(error, match=reason):
            build(folder / "base", folder / "cache", Precision.FP32, print, adapters={"other": tmp_path / "other"})


def test_families_without_adapters_say_so(tmp_path):
    for model in (write_family(tmp_path / "dbrx", DBRX), write_model(tmp_path / "bert", BERT)):
        with pytest.raises(UnsupportedModel, match="adapters of"):
            build(model, tmp_path / "cache", Precision.FP32, print, adapters={"x": tmp_path})


def test_the_program_takes_them_by_name(world, tmp_path, capfd):
    folder, _ = world
    command = ["build", "--model", str(folder / "base"), "--cache", str(tmp_path / "cache"), "--precision", "fp32"]
    assert main([*command, "--adapter", f"legal={folder / 'all'}", "--adapter", f"b={folder / 'strong'}"]) == 0
    assert "adapted: 2 adapters" in capfd.readouterr().out
    assert main([*command, "--adapter", f"legal={tmp_path}"]) == 1
    assert "adapter_config.json is missing" in capfd.readouterr().out
    with pytest.raises(SystemExit):
        main([*command, "--adapter", "legal"])
    assert "is not NAME=FOLDER" in capfd.readouterr().err
