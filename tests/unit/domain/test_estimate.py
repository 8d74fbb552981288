"""Estimates before a measurement: bigger is slower, faster devices do more, and the order of magnitude is right."""

from dataclasses import replace

import pytest

from penstock.domain.estimate import Speed, estimate
from penstock.domain.model import ModelFacts, Precision, Shape, Task

SPEED = Speed(1.2e12, 4e10)
BILLION = ModelFacts(
    Task.CHAT, "llama", "LlamaForCausalLM", 1_040_000_000, 2_080_000_000, 4096,
    Shape(16, 2048, 8192, 32, 8, 64, 32000), True, True, None,
)  # fmt: skip
ENCODER = replace(BILLION, task=Task.EMBEDDINGS, parameters=110_000_000, shape=Shape(12, 768, 3072, 12, 0, 64, 30522))


def throughput(facts=BILLION, precision=Precision.INT8, speed=SPEED):
    return estimate(facts, precision, speed).throughput


def test_it_is_careful_but_not_far_off():
    """Measured on the machine these figures are from: some 470 tokens/s at 4 parallel requests."""
    assert 150 < throughput() < 470


def test_more_of_everything_counts():
    assert throughput(speed=Speed(2.4e12, 8e10)) > throughput()
    assert throughput(precision=Precision.BF16) <= throughput()
    assert throughput(replace(BILLION, parameters=8_000_000_000)) < throughput() / 3


def test_a_reference_request_costs_what_the_throughput_says():
    made = estimate(BILLION, Precision.INT8, SPEED)
    assert made.cost.seconds(2048, 256) == pytest.approx(2304 / made.throughput)


def test_encoders_and_unknown_shapes_have_an_estimate_too():
    assert throughput(ENCODER) > throughput()
    assert throughput(replace(BILLION, shape=None)) > 0


def test_experts_that_a_token_does_not_go_through_cost_no_arithmetic():
    shape = Shape(32, 4096, 14_336, 32, 8, 128, 32_000, 8, 2)
    mixture = replace(BILLION, parameters=46_700_000_000, shape=shape)
    dense = replace(mixture, shape=replace(shape, experts=0, chosen_experts=0))
    assert shape.idle_parameters == 32 * 6 * 3 * 4096 * 14_336
    assert 2 < throughput(mixture) / throughput(dense) < 47 / 12
