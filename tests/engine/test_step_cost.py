"""Whose a step's time is."""

import random

import numpy as np
import pytest
from engine_fakes import FakeDecoder
from test_scheduler import loop_of, run, sequence_of

from penstock_engine.scheduler import Slot
from penstock_engine.step_cost import FIT_EVERY, StepCost
from penstock_engine.work import Work


class Timed:
    """A sequence, as far as its time goes."""

    def __init__(self):
        self.seconds = 0.0


def step(cost, shapes, truth):
    """One step of sequences with (past, new) tokens that takes what `truth` says; each one's part, and all of it."""
    work = [Work(past, np.zeros(new, np.int64), np.zeros(1, np.int32), 1) for past, new in shapes]
    slots = [Slot(Timed(), new, 1) for _, new in shapes]
    fixed, a, e, b, g = truth
    seconds = fixed + sum(b + g * p if n == 1 else a * n + e * n * (p + n / 2) for p, n in shapes)
    cost.divide(slots, work, seconds)
    return [slot.sequence.seconds for slot in slots], seconds


def some(draw):
    prompts = [(draw.randrange(0, 3000), draw.randrange(2, 500)) for _ in range(draw.randrange(0, 2))]
    return prompts + [(draw.randrange(1, 4000), 1) for _ in range(draw.randrange(1, 12))]


@pytest.mark.parametrize("truth", [(4e-3, 1e-4, 4e-8, 3e-4, 1e-6), (0.2, 2e-3, 1e-7, 1e-2, 2e-6)])
def test_the_parts_add_up_and_become_what_each_takes(truth):
    draw, cost = random.Random(3), StepCost()
    for _ in range(30 * FIT_EVERY):
        parts, seconds = step(cost, some(draw), truth)
        assert sum(parts) == pytest.approx(seconds)
    parts, seconds = step(cost, [(0, 400), (100, 1), (3000, 1), (3000, 1)], truth)
    fixed, a, e, b, g = truth
    own = [a * 400 + e * 400 * 200, b + g * 100, b + g * 3000, b + g * 3000]
    assert parts == pytest.approx([fixed / 4 + one for one in own], rel=0.05)


def test_before_anything_is_known_a_long_prompt_takes_more_than_a_word():
    parts, _ = step(StepCost(), [(0, 400), (100, 1)], (1, 0, 0, 0, 0))
    assert parts[0] > 5 * parts[1]


def test_steps_of_one_kind_alone_leave_the_rest_in_proportion():
    draw, cost, truth = random.Random(3), StepCost(), (4e-2, 1e-3, 4e-7, 3e-3, 1e-5)
    for _ in range(5 * FIT_EVERY):
        step(cost, [(draw.randrange(1, 4000), 1) for _ in range(draw.randrange(1, 12))], truth)
    parts, _ = step(cost, [(0, 400), (100, 1)], truth)
    assert parts[0] > 3 * parts[1]


def test_every_sequence_of_a_loop_is_told_its_time():
    loop = loop_of(FakeDecoder())
    sequences = [sequence_of([1, 2, 3], 4), sequence_of(list(range(20)), 4)]
    loop.submit(sequences)
    run(loop, sequences)
    assert all(sequence.seconds > 0 for sequence in sequences)
