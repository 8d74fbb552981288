"""Inverse frequencies of rotary embeddings, by hand."""

import math

import numpy as np
import pytest

from penstock_engine.config import Config
from penstock_engine.errors import CheckpointError, UnsupportedModel
from penstock_engine.rope import ntk_rope, read_rope

PLAIN = 1 / 10000.0 ** (np.arange(0, 64, 2) / 64)


def rope(scaling=None, **fields):
    return read_rope(Config({"rope_scaling": scaling, "max_position_embeddings": 1024, **fields}), 64)


def test_default_and_theta_of_both_layouts():
    assert rope().inverse_frequencies == pytest.approx(PLAIN)
    old = rope(rope_theta=500000.0)
    new = rope(rope_parameters={"rope_type": "default", "rope_theta": 500000.0})
    assert old.inverse_frequencies[-1] == pytest.approx(500000.0 ** (-62 / 64))
    assert (old.inverse_frequencies == new.inverse_frequencies).all()


def test_linear_divides():
    for name in ("type", "rope_type"):
        assert rope({name: "linear", "factor": 4.0}).inverse_frequencies == pytest.approx(PLAIN / 4)


def test_llama3_keeps_short_waves_stretches_long_ones_and_blends_between():
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 1024,
    }
    found = rope(scaling).inverse_frequencies
    waves = 2 * math.pi / PLAIN
    assert found[waves < 256] == pytest.approx(PLAIN[waves < 256])
    assert found[waves > 1024] == pytest.approx(PLAIN[waves > 1024] / 8)
    between = (waves > 256) & (waves < 1024)
    share = (1024 / waves[between] - 1) / 3
    assert between.any()
    assert found[between] == pytest.approx(PLAIN[between] * (share + (1 - share) / 8))


def test_yarn_keeps_fast_and_stretches_slow_rotations():
    found = rope({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512})
    turns = 512 * PLAIN / (2 * math.pi)
    assert found.inverse_frequencies[turns > 40] == pytest.approx(PLAIN[turns > 40])
    assert found.inverse_frequencies[turns < 0.7] == pytest.approx(PLAIN[turns < 0.7] / 4)
    assert found.factor == pytest.approx(0.1 * math.log(4) + 1)


def test_yarn_temperature_as_said_by_the_configuration():
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}
    assert rope(yarn | {"attention_factor": 1.5}).factor == 1.5
    both = rope(yarn | {"mscale": 1.0, "mscale_all_dim": 0.5}).factor
    assert both == pytest.approx((0.1 * math.log(4) + 1) / (0.05 * math.log(4) + 1))


@pytest.mark.parametrize("kind", ["longrope", "ntk", "su"])
def test_other_kinds_are_refused_by_name(kind):
    with pytest.raises(UnsupportedModel, match=f"rope type '{kind}' is not supported"):
        rope({"rope_type": kind, "factor": 2.0})


def test_a_part_of_a_head_is_refused():
    with pytest.raises(UnsupportedModel, match="partial_rotary_factor"):
        rope(partial_rotary_factor=0.5)


def test_missing_and_wrong_fields_are_named():
    with pytest.raises(CheckpointError, match="factor must be a number above 0"):
        rope({"rope_type": "linear"})
    with pytest.raises(CheckpointError, match="rope_theta must be a number"):
        rope(rope_theta="10000")
    with pytest.raises(UnsupportedModel, match="low_freq_factor must be less"):
        rope({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0})


def test_dynamic_changes_nothing_within_the_context():
    assert rope({"rope_type": "dynamic", "factor": 4.0}).inverse_frequencies == pytest.approx(PLAIN)


def test_a_family_has_its_own_base():
    config = Config({"max_position_embeddings": 1024})
    assert read_rope(config, 64, 1e6).inverse_frequencies[-1] == pytest.approx(1e6 ** (-62 / 64))


def test_ntk_slows_all_rotations_alike_or_by_their_number():
    fixed = ntk_rope(10000.0, 64, 2.0, None).inverse_frequencies
    assert fixed == pytest.approx(20000.0 ** -(np.arange(0, 64, 2) / 64) / 2 ** (2 / 64))
    mixed = ntk_rope(10000.0, 64, 2.0, 0.6).inverse_frequencies
    assert mixed[-1] == pytest.approx(PLAIN[-1] / 2)
    assert mixed[0] == pytest.approx(PLAIN[0] / np.exp(np.log(2) / 32**0.6))
