"""Tokens are drawn from the distribution that was asked for, the same ones for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock_engine.logprobs import largest, score
from penstock_engine.sampling import Chooser, Sampling, choose

NOTHING = np.array([], np.int64)
DRAWS = 4000


def chooser(prompt=NOTHING, choice=0, forbidden=frozenset(), min_tokens=0, **wanted):
    return Chooser(Sampling(**wanted), choice, np.array(prompt, np.int64), forbidden, min_tokens)


def softmax(x):
    weights = np.exp(x - x.max())
    return weights / weights.sum()


def frequencies(row, **wanted):
    """Shares of the tokens over many draws from one row, all with one chooser."""
    one = chooser(seed=1, **wanted)
    counts = np.zeros(len(row))
    for _ in range(DRAWS):
        counts[choose(row[None], [one])[0]] += 1
    return counts / DRAWS


@pytest.mark.parametrize("vocabulary", [5, 64, 200])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_draws_follow_the_distribution(vocabulary, temperature):
    row = np.random.default_rng(3).standard_normal(vocabulary).astype(np.float32) * 2
    expected = softmax(row.astype(np.float64) / temperature)
    found = frequencies(row, temperature=temperature)
    often = expected * DRAWS >= 8
    deviation = np.abs(found - expected)[often] / np.sqrt(expected * (1 - expected) / DRAWS)[often]
    assert deviation.max() < 4.5
    rare = expected[~often].sum()
    assert abs(found[~often].sum() - rare) <= 4.5 * np.sqrt(rare / DRAWS)


@pytest.mark.parametrize("vocabulary", [30, 3000])
def test_top_p_keeps_the_smallest_set_that_holds_the_share(vocabulary):
    row = np.random.default_rng(4).standard_normal(vocabulary).astype(np.float32)
    expected = softmax(row.astype(np.float64))
    order = np.argsort(-expected)
    kept = int(np.searchsorted(np.cumsum(expected[order]), 0.6)) + 1
    found = frequencies(row, top_p=0.6)
    assert set(np.flatnonzero(found)) <= set(order[:kept].tolist())
    share = expected[order[:kept]] / expected[order[:kept]].sum()
    deviation = np.abs(found[order[:kept]] - share) / np.sqrt(share * (1 - share) / DRAWS)
    assert deviation.max() < 5


def test_top_k_comes_before_top_p():
    row = np.log(np.array([0.4, 0.3, 0.2, 0.1], np.float32))
    assert set(np.flatnonzero(frequencies(row, top_k=2))) == {0, 1}
    assert set(np.flatnonzero(frequencies(row, top_k=2, top_p=0.5))) == {0}
    assert set(np.flatnonzero(frequencies(row, top_k=1))) == {0}


def test_a_seed_gives_the_same_tokens_in_any_batch_and_others_for_another_choice():
    rows = np.random.default_rng(5).standard_normal((50, 100)).astype(np.float32)

    def said(batch, **wanted):
        others = [chooser(temperature=1.5, top_p=0.9) for _ in range(batch)]
        one = chooser(seed=7, **wanted)
        return [choose(np.stack([row, *rows[:batch]]), [one, *others])[0] for row in rows]

    assert said(0) == said(3)
    assert said(0) != said(0, choice=1)
    assert said(0, top_p=0.8) == said(3, top_p=0.8)


def test_greedy_and_random_rows_mix():
    rows = np.random.default_rng(6).standard_normal((3, 40)).astype(np.float32)
    tokens = choose(rows, [chooser(temperature=0), chooser(seed=1), chooser(temperature=0)])
    assert [tokens[0], tokens[2]] == [rows[0].argmax(), rows[2].argmax()]


def test_penalties_bias_and_early_ends_change_a_copy_only():
    row = np.array([[2.0, 1.0, -1.0, 0.0]], np.float32)
    kept = row.copy()

    def greedy_twice(**wanted):
        one = chooser(temperature=0, **wanted)
        return [choose(row, [one])[0] for _ in range(3)]

    assert greedy_twice() == [0, 0, 0]
    assert greedy_twice(presence_penalty=1.5) == [0, 1, 0]
    assert greedy_twice(frequency_penalty=0.7) == [0, 0, 1]
    assert greedy_twice(repetition_penalty=3.0) == [0, 1, 0]
    assert greedy_twice(repetition_penalty=3.0, prompt=[0]) == [1, 0, 0]
    assert greedy_twice(logit_bias=((2, 100.0),)) == [2, 2, 2]
    assert greedy_twice(forbidden=frozenset({0}), min_tokens=2) == [1, 1, 0]
    assert (row == kept).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3000), st.integers(1, 128), st.booleans(), st.integers(0, 99))
def test_the_largest_are_the_largest(rows, n, k, ties, seed):
    x = np.random.default_rng(seed).standard_normal((rows, n)).astype(np.float32)
    if ties:
        x = np.round(x)
    found = largest(x, k)
    expected = -np.sort(-x, axis=-1)[:, : min(k, n)]
    assert (found.values == expected).all()
    assert (np.take_along_axis(x, found.ids, -1) == expected).all()
    assert all(len(set(ids)) == len(ids) for ids in found.ids.tolist())


def test_scores_are_log_probabilities_of_the_models_own_distribution():
    x = np.random.default_rng(8).standard_normal((2, 9000)).astype(np.float32) * 5
    first, second = score(x, np.array([17, 18]), [20, 0])
    expected = np.log(softmax(x[0].astype(np.float64)))
    assert first.logprob == pytest.approx(expected[17], abs=1e-4)
    assert first.top_ids == np.argsort(-expected)[:20].tolist()
    assert first.top_logprobs == pytest.approx(np.sort(expected)[::-1][:20], abs=1e-4)
    assert (second.token, second.top_ids) == (18, [])
