"""What the CPU engine is asked for where nobody says it."""

from dataclasses import replace

import pytest

from penstock.adapters.engines.cpu import CpuRecipe
from penstock.domain.model import ModelFacts, Precision, Shape, Task

FACTS = ModelFacts(
    Task.CHAT, "mixtral", "MixtralForCausalLM", 10**9, 2 * 10**9, 4096, Shape(4, 512, 1024, 8, 4, 64, 1000, 8, 2),
    True, True, None,
)  # fmt: skip
VECTORS = replace(FACTS, task=Task.EMBEDDINGS, shape=Shape(4, 512, 1024, 8, 0, 64, 1000))


@pytest.mark.parametrize(
    ("facts", "precision"),
    [(FACTS, Precision.INT8), (VECTORS, Precision.BF16), (replace(FACTS, shape=None), Precision.INT8)],
)
def test_texts_in_eight_bits_and_vectors_in_sixteen(facts, precision):
    assert CpuRecipe(max_queue=4).precision(facts) is precision


def test_the_memory_of_a_step_counts_the_chosen_experts():
    recipe = CpuRecipe(max_queue=4)
    needs = [
        recipe.needs(replace(FACTS, shape=replace(FACTS.shape, experts=experts, chosen_experts=chosen)), Precision.INT8)
        for experts, chosen in ((0, 0), (8, 1), (8, 2))
    ]
    assert needs[0].memory == needs[1].memory < needs[2].memory


def test_room_for_adapters_takes_memory_for_every_layer_that_they_change():
    recipe, rank = CpuRecipe(max_queue=4), 32
    dense = replace(FACTS, shape=replace(FACTS.shape, experts=0, chosen_experts=0))
    queries, keys, attended = 512 + 512, 512 + 256, 512 + 512
    attention = queries + 2 * keys + attended
    for facts, numbers in ((FACTS, attention), (dense, attention + 3 * (512 + 1024))):
        plain, roomy = (recipe.needs(facts, Precision.INT8, room).memory for room in (0, rank))
        assert roomy - plain == 4 * 3 * 4 * rank * numbers
    assert recipe.room(FACTS, Precision.INT8, [16, 16]) == rank
    assert recipe.room(FACTS, Precision.INT8, []) == 0
