"""How far a weight may move when it gets fewer bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from penstock_engine.quantise import quantise_rows, quantise_symmetric, to_bf16, to_f32
from penstock_engine.safetensors import Tensor

MATRICES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
)


def dequantised(rows):
    return (rows.levels.astype(np.float64) - rows.zero) * rows.scale


@given(values=MATRICES)
def test_no_weight_moves_by_more_than_a_level(values):
    rows = quantise_rows(Tensor(values, "F32"))
    assert rows.scale.shape == rows.zero.shape == (len(values), 1)
    assert (np.abs(dequantised(rows) - values) <= rows.scale * 1.001).all()


@given(values=MATRICES)
def test_no_weight_moves_by_more_than_half_a_symmetric_level(values):
    rows = quantise_symmetric(Tensor(values, "F32"))
    assert np.abs(rows.levels.astype(int)).max() <= 127
    assert (np.abs(rows.levels * rows.scale.astype(np.float64) - values) <= rows.scale * 0.501).all()


@given(values=MATRICES)
def test_zero_stays_zero(values):
    values[:, 0] = 0
    assert (dequantised(quantise_rows(Tensor(values, "F32")))[:, 0] == 0).all()


def test_rows_do_not_depend_on_each_other_nor_on_the_blocks_they_are_worked_on_in():
    values = np.random.default_rng(0).normal(size=(3000, 256)).astype(np.float32)
    values[7] *= 1000
    rows, alone = quantise_rows(Tensor(values, "F32")), quantise_rows(Tensor(values[2900:2901], "F32"))
    assert (rows.levels[2900] == alone.levels[0]).all()
    assert np.abs(dequantised(rows) - values).max(1)[8:].max() < 0.03


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    values = np.ones((4, 8), np.float32)
    values[2, 3] = bad
    for convert in (quantise_rows, quantise_symmetric, to_bf16):
        with pytest.raises(ValueError, match="not finite"):
            convert(Tensor(values, "F32"))


@settings(max_examples=50)
@given(values=MATRICES)
def test_bf16_rounds_to_the_nearest(values):
    found = to_f32(Tensor(to_bf16(Tensor(values, "F32")), "BF16"))
    assert (np.abs(found.astype(np.float64) - values) <= np.abs(values.astype(np.float64)) * 2**-8).all()
    again = to_bf16(Tensor(found, "F32"))
    assert (to_f32(Tensor(again, "BF16")) == found).all()


def test_bf16_rounds_ties_to_even():
    bits = np.array([[0x3F808000, 0x3F818000, 0x3F808001]], np.uint32)
    assert to_bf16(Tensor(bits.view(np.float32), "F32")).tolist() == [[0x3F80, 0x3F82, 0x3F81]]


def test_half_floats_become_what_they_were():
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float16)
    assert (to_f32(Tensor(values, "F16")) == values).all()
    with pytest.raises(ValueError, match="I64"):
        to_f32(Tensor(np.ones((2, 2), np.int64), "I64"))
