"""Every family's sequences do not depend on how they are cut, what runs beside them, or what their blocks held."""

import json

import numpy as np
import pytest
from tiny_families import DBRX, DECODERS, GTE, MIXTRAL, MPT, QWEN2, write_family
from tiny_models import BERT, write_model

from penstock_engine.architectures.mpt import alibi_slopes
from penstock_engine.architectures.registry import plan_of
from penstock_engine.build import build
from penstock_engine.config import Config
from penstock_engine.errors import CheckpointError, UnsupportedModel
from penstock_engine.loader import load_decoder, load_encoder, read_plan
from penstock_engine.work import Precision, Work

KV_BYTES = 4 << 20
RNG = np.random.default_rng(1)
LONG, SHORT = (RNG.integers(0, 320, length) for length in (100, 41))


def blocks(*numbers):
    return np.array(numbers, np.int32)


@pytest.fixture(scope="module")
def decoder_of(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("families"), {}

    def open_decoder(name):
        if name not in made:
            model = write_family(folder / name, DECODERS[name])
            made[name] = load_decoder(model, folder / "cache", Precision.FP32, KV_BYTES, print)
        return made[name]

    return open_decoder


@pytest.mark.parametrize("name", DECODERS)
def test_chunks_neighbours_and_dirty_blocks_do_not_matter(decoder_of, name):
    decoder = decoder_of(name)
    whole = np.array(decoder.step([Work(0, LONG, blocks(0, 1, 2, 3), 100)]))
    alone = np.array(decoder.step([Work(0, SHORT, blocks(5, 6), 41)]))
    for tensor in decoder._caches.values():
        tensor.data[:] = np.nan
    table, rows = blocks(9, 4, 8, 7), []
    for start, end in ((0, 31), (31, 33), (33, 90), (90, 91)):
        rows.append(np.array(decoder.step([Work(start, LONG[start:end], table, end - start)])))
    beside = decoder.step([Work(91, LONG[91:], table, 9), Work(0, SHORT, blocks(11, 10), 41)])
    np.testing.assert_allclose(np.concatenate([*rows, beside[:9]]), whole, atol=1e-4)
    np.testing.assert_allclose(beside[9:], alone, atol=1e-4)
    assert decoder.step([Work(0, SHORT, blocks(0, 1), 0)]).shape == (0, 320)


@pytest.mark.parametrize("name", DECODERS)
def test_every_token_counts(decoder_of, name):
    """A changed token changes what comes after it, and nothing before it."""
    decoder, changed, table = decoder_of(name), LONG.copy(), blocks(0, 1, 2, 3)
    changed[50] = (changed[50] + 1) % 320
    one, other = (np.array(decoder.step([Work(0, tokens, table, 100)])) for tokens in (LONG, changed))
    np.testing.assert_allclose(one[:50], other[:50], atol=1e-5)
    assert np.abs(one[50:] - other[50:]).max(-1).min() > 1e-6


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.BF16])
@pytest.mark.parametrize("name", DECODERS)
def test_a_build_in_fewer_bits(tmp_path, name, precision):
    lines = []
    build(write_family(tmp_path / "model", DECODERS[name]), tmp_path / "cache", precision, lines.append)
    assert lines[-1] == "built"


@pytest.mark.parametrize("precision", Precision)
def test_a_gte_keeps_the_length_of_its_vectors(tmp_path, precision):
    texts = [np.random.default_rng(2).integers(0, 100, length) for length in (1, 300, 7)]
    encoder = load_encoder(write_family(tmp_path / "model", GTE), tmp_path / "cache", precision, print)
    together, alone = encoder.embed(texts), np.concatenate([encoder.embed([text]) for text in texts])
    lengths = np.linalg.norm(together, axis=1)
    assert np.abs(lengths - 1).min() > 0.1
    np.testing.assert_allclose(lengths, np.linalg.norm(alone, axis=1), rtol=0.02)
    assert (together * alone).sum(1) / lengths**2 == pytest.approx(1, abs=0.02)


def test_files_of_sentence_transformers_are_read(tmp_path):
    write_model(tmp_path, BERT)
    assert read_plan(tmp_path).normalised
    (tmp_path / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Transformer"}]))
    assert not read_plan(tmp_path).normalised
    for listed, error in (([{"type": "x.Dense"}], UnsupportedModel), ({}, CheckpointError), ([], CheckpointError)):
        (tmp_path / "modules.json").write_text(json.dumps(listed))
        with pytest.raises(error, match=r"modules\.json"):
            read_plan(tmp_path)


def attention(base, **changes):
    return base | {"attn_config": base["attn_config"] | changes}


def experts(**changes):
    return DBRX | {"ffn_config": DBRX["ffn_config"] | changes}


REFUSED = {
    "learned positions": (attention(MPT, alibi=False), "alibi false"),
    "several queries for a key": (attention(MPT, attn_type="multiquery_attention"), "attn_type 'multiquery_attention'"),
    "norms of queries": (attention(MPT, qk_ln=True), "qk_ln"),
    "prefix": (attention(MPT, prefix_lm=True), "prefix_lm"),
    "other norm": (MPT | {"norm_type": "rmsnorm"}, "norm_type 'rmsnorm'"),
    "other layers": (MPT | {"ffn_config": {"ffn_type": "mptglu"}}, "ffn_type 'mptglu'"),
    "mpt heads": (MPT | {"n_heads": 3}, "not a multiple"),
    "mpt code of somebody": (MPT | {"auto_map": {"AutoModel": "x.MyModel"}}, "its own code"),
    "dbrx activation": (experts(ffn_act_fn={"name": "gelu"}), "ffn_act_fn 'gelu'"),
    "dbrx norm of weights": (experts(moe_normalize_expert_weights=2), "moe_normalize_expert_weights 2"),
    "too many chosen": (experts(moe_top_k=9), "moe_top_k 9 is more"),
    "dbrx bases": (DBRX | {"rope_parameters": {"rope_theta": 7e5}}, "rope_theta is 700000, but attn_config has 500000"),
    "dbrx scaling": (DBRX | {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope type 'linear'"),
    "dbrx tied": (DBRX | {"tie_word_embeddings": True}, "tie_word_embeddings"),
    "mixtral chosen": (MIXTRAL | {"num_experts_per_tok": 9}, "num_experts_per_tok 9 is more"),
    "qwen windows": (QWEN2 | {"use_sliding_window": True}, "use_sliding_window"),
    "gte activation": (GTE | {"hidden_act": "silu"}, "hidden_act 'silu'"),
    "gte positions": (GTE | {"position_embedding_type": "absolute"}, "position_embedding_type 'absolute'"),
    "gte norm": (GTE | {"layer_norm_type": "rms_norm"}, "layer_norm_type"),
    "gte scaling": (GTE | {"rope_scaling": {"type": "yarn", "factor": 2.0}}, "rope type 'yarn'"),
    "gte logn": (GTE | {"logn_attention_scale": True}, "logn_attention_scale"),
    "gte code of somebody": (GTE | {"auto_map": {"AutoModel": "x.NotNew"}}, "its own code"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_other_maths(name):
    fields, reason = REFUSED[name]
    with pytest.raises(UnsupportedModel, match=reason):
        plan_of(Config(fields))


def test_the_authors_own_code_is_known_and_never_needed():
    maps = {
        "new": {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"},
        "mpt": {"AutoConfig": "configuration_mpt.MPTConfig", "AutoModelForCausalLM": "modeling_mpt.MPTForCausalLM"},
        "dbrx": {"AutoConfig": "configuration_dbrx.DbrxConfig"},
    }
    for config in (GTE, MPT, DBRX):
        assert plan_of(Config(config | {"auto_map": maps[config["model_type"]]})) is not None


def test_slopes():
    assert alibi_slopes(4, 8) == (2**-2, 2**-4, 2**-6, 2**-8)
    assert alibi_slopes(3, 8) == (2**-4, 2**-8, 2**-2)
    assert alibi_slopes(1, 8) == (2**-8,)
