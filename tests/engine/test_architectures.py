"""What would be computed in another way than its authors meant is refused, with the reason."""

import json

import numpy as np
import pytest
from tiny_models import BERT, LLAMA, llama_shapes, write_model, write_safetensors

from penstock_engine.architectures.plan import Kind
from penstock_engine.architectures.registry import plan_of
from penstock_engine.config import Config
from penstock_engine.errors import CheckpointError, UnsupportedModel
from penstock_engine.loader import load_decoder, load_encoder, read_plan
from penstock_engine.work import Precision

KV_BYTES = 4 << 20
MISTRAL = LLAMA | {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": None}

REFUSED = {
    "another family": (LLAMA | {"model_type": "gpt2"}, "model_type 'gpt2' is not supported"),
    "no family": ({}, "model_type '' is not supported"),
    "a classifier": (LLAMA | {"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
    "activation": (LLAMA | {"hidden_act": "gelu"}, "hidden_act 'gelu'"),
    "rope": (LLAMA | {"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "rope type 'longrope'"),
    "quantised": (LLAMA | {"quantization_config": {"bits": 4}}, "quantised already"),
    "own code": (LLAMA | {"auto_map": {"AutoModel": "x.Y"}}, "its own code"),
    "heads": (LLAMA | {"num_key_value_heads": 3}, "not a multiple"),
    "odd head": (LLAMA | {"head_dim": 33}, "must be even"),
    "llama window": (LLAMA | {"sliding_window": 16}, "sliding_window in a llama"),
    "mixed layers": (MISTRAL | {"layer_types": ["full_attention", "sliding_attention"]}, "differ between layers"),
    "linear attention": (LLAMA | {"layer_types": ["linear_attention"]}, "layer_types"),
    "soft cap": (LLAMA | {"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
    "experts": (LLAMA | {"num_local_experts": 8}, "num_local_experts"),
    "relative positions": (BERT | {"position_embedding_type": "relative_key"}, "position_embedding_type"),
    "relu": (BERT | {"hidden_act": "relu"}, "hidden_act 'relu'"),
    "cross attention": (BERT | {"is_decoder": True}, "is_decoder"),
    "bert heads": (BERT | {"num_attention_heads": 3}, "not a multiple"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_other_maths(name):
    fields, reason = REFUSED[name]
    with pytest.raises(UnsupportedModel, match=reason):
        plan_of(Config(fields))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hidden_size", "128"),
        ("hidden_size", -1),
        ("num_hidden_layers", True),
        ("vocab_size", None),
        ("vocab_size", 1e9),
    ],
)
def test_names_a_field_of_the_wrong_type(field, value):
    with pytest.raises(CheckpointError, match=f"{field} must be"):
        plan_of(Config(LLAMA | {field: value}))


def test_plans_tell_kind_and_sizes():
    llama, bert = plan_of(Config(LLAMA)), plan_of(Config(BERT))
    assert (llama.kind, llama.context, llama.width, llama.vocab) == (Kind.DECODER, 256, 320, 320)
    assert (bert.kind, bert.context, bert.width, bert.vocab) == (Kind.ENCODER, 64, 64, 100)
    assert plan_of(Config(MISTRAL)).kind is Kind.DECODER


def test_other_pooling_is_refused(tmp_path):
    write_model(tmp_path, BERT)
    (tmp_path / "1_Pooling").mkdir()
    pooling = tmp_path / "1_Pooling" / "config.json"
    for name in ("cls_token", "mean_tokens"):
        pooling.write_text(json.dumps({f"pooling_mode_{name}": True, "pooling_mode_max_tokens": False}))
        assert read_plan(tmp_path).kind is Kind.ENCODER
    for fields in (
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_cls_token": True, "pooling_mode_lasttoken": True},
        {},
    ):
        pooling.write_text(json.dumps(fields))
        with pytest.raises(UnsupportedModel, match="pooling"):
            read_plan(tmp_path)


def test_weights_without_a_place_are_refused(tmp_path):
    shapes = llama_shapes(LLAMA) | {"model.layers.0.self_attn.q_norm.weight": (32,)}
    write_model(tmp_path)
    write_safetensors(tmp_path / "model.safetensors", {name: np.ones(shape) for name, shape in shapes.items()})
    with pytest.raises(UnsupportedModel, match=r"1 tensors .* no place in this model: model.layers.0.self_attn.q_norm"):
        load_decoder(tmp_path, tmp_path / "cache", Precision.FP32, KV_BYTES, print)


def test_a_missing_and_a_misshapen_weight_are_named(tmp_path):
    write_model(tmp_path, num_hidden_layers=2)
    config = LLAMA | {"num_hidden_layers": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"'model.layers.2.input_layernorm.weight' is missing"):
        load_decoder(tmp_path, tmp_path / "cache", Precision.INT8, KV_BYTES, print)
    (tmp_path / "config.json").write_text(json.dumps(LLAMA | {"intermediate_size": 100}))
    with pytest.raises(CheckpointError, match=r"has shape \(192, 128\), config.json says \(100, 128\)"):
        load_decoder(tmp_path, tmp_path / "cache", Precision.INT8, KV_BYTES, print)


def test_a_model_for_another_task_is_refused(tmp_path):
    write_model(tmp_path / "llama")
    write_model(tmp_path / "bert", BERT)
    with pytest.raises(UnsupportedModel, match="encoder, not decoder"):
        load_decoder(tmp_path / "bert", tmp_path / "cache", Precision.FP32, KV_BYTES, print)
    with pytest.raises(UnsupportedModel, match="decoder, not encoder"):
        load_encoder(tmp_path / "llama", tmp_path / "cache", Precision.FP32, print)
