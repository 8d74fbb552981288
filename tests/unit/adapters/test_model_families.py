"""Every family that an engine computes is known to the catalogue, with its sizes, and nothing else is."""

import json

import pytest
from test_model_reader import CARD, LLAMA, Version

from penstock.adapters.models.families import FAMILIES
from penstock.domain.model import Shape
from penstock_engine.architectures.registry import FAMILIES as COMPUTED

MPT = {
    "model_type": "mpt", "architectures": ["MPTForCausalLM"], "d_model": 64, "n_heads": 4, "n_layers": 3,
    "vocab_size": 300, "max_seq_len": 1024, "expansion_ratio": 2,
    "auto_map": {"AutoConfig": "configuration_mpt.MPTConfig", "AutoModelForCausalLM": "modeling_mpt.MPTForCausalLM"},
}  # fmt: skip
DBRX = {
    "model_type": "dbrx", "architectures": ["DbrxForCausalLM"], "d_model": 64, "n_heads": 4, "n_layers": 3,
    "vocab_size": 300, "max_seq_len": 16_384, "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 5e5},
    "ffn_config": {"ffn_hidden_size": 96, "moe_num_experts": 16, "moe_top_k": 4},
    "auto_map": {"AutoConfig": "configuration_dbrx.DbrxConfig"},
}  # fmt: skip
MIXTRAL = {
    **LLAMA, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 8,
    "num_experts_per_tok": 2,
}  # fmt: skip
GTE = {
    **LLAMA, "model_type": "new", "architectures": ["NewModel"], "rope_scaling": {"type": "ntk", "factor": 2.0},
    "auto_map": {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"}, "max_position_embeddings": 8192,
}  # fmt: skip
QWEN2 = {**LLAMA, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "sliding_window": 4096}


@pytest.fixture
def version(tmp_path):
    return Version(tmp_path / "v")


def test_the_catalogue_and_the_engine_know_the_same_families():
    assert {name: family.classes for name, family in FAMILIES.items()} == {
        name: family.classes for name, family in COMPUTED.items()
    }


@pytest.mark.parametrize(
    ("config", "shape", "context"),
    [
        (MIXTRAL, Shape(2, 32, 64, 4, 2, 8, 258, 8, 2), 4096),
        (QWEN2, Shape(2, 32, 64, 4, 2, 8, 258), 4096),
        (MPT, Shape(3, 64, 128, 4, 4, 16, 300), 1024),
        (DBRX, Shape(3, 64, 96, 4, 2, 16, 300, 16, 4), 16_384),
    ],
)
def test_texts(version, config, shape, context):
    version.put("model/config.json", json.dumps(config))
    assert (version.facts.problem, version.facts.shape, version.facts.context_length) == (None, shape, context)
    assert version.facts.model_type == config["model_type"]


@pytest.mark.parametrize("native", [False, True])
def test_vectors(version, native):
    config = GTE
    if native:
        config = {**LLAMA, "model_type": "gte", "architectures": ["GteModel"], "max_position_embeddings": 8192}
    version.put("model/config.json", json.dumps(config))
    version.put("MLmodel", CARD.format(task="llm/v1/embeddings") + "  model_type: gte-large\n")
    facts = version.facts
    assert (facts.problem, facts.model_type, facts.context_length) == (None, "gte-large", 8192)
    assert facts.shape == Shape(2, 32, 64, 4, 0, 8, 258)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({**MIXTRAL, "num_experts_per_tok": 9}, "9 experts for each token are more than the 8"),
        ({**DBRX, "ffn_config": {"moe_num_experts": "x"}}, "moe_num_experts must be a whole number"),
        ({**DBRX, "rope_scaling": {"type": "linear", "factor": 2}}, "Rope scaling of type 'linear'"),
        ({**GTE, "rope_scaling": {"type": "yarn", "factor": 2}}, "Rope scaling of type 'yarn'"),
        ({**GTE, "auto_map": {"AutoModel": "somebody/else--modeling.MyModel"}}, "brings its own code"),
        ({**GTE, "architectures": ["NewForSequenceClassification"]}, "NewForSequenceClassification cannot be served"),
        ({**MPT, "n_layers": None}, "n_layers must be a whole number"),
        ({**MPT, "max_seq_len": "long"}, "max_seq_len must be a whole number"),
    ],
)
def test_what_is_not_served_says_why(version, config, problem):
    version.put("model/config.json", json.dumps(config))
    assert problem in version.facts.problem
    assert version.facts.parameters == 23
