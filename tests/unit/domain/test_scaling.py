"""Scaling: what demand asks, when the allotment follows, and what a device can give."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.scaling import Kind, Policy, Sample, State, Want, decide

POLICY = Policy()
STATE = State(allotment=1000, minimum=1000, maximum=8000, chunk=1000, free=10_000)


def steady(rate, seconds=60, backlog=0.0, until=100.0):
    """Samples of a steady rate, one a second."""
    return [Sample(until - seconds + n, n * rate, backlog) for n in range(seconds + 1)]


def test_a_steady_demand_gets_its_chunks_with_a_tenth_to_spare():
    assert decide(100, POLICY, STATE, steady(1700)).allotment == 2000
    assert decide(100, POLICY, STATE, steady(1801)).allotment == 3000


def test_a_backlog_that_must_drain_counts():
    decision = decide(100, POLICY, STATE, steady(1700, backlog=10_000))
    assert (decision.allotment, decision.kind) == (3000, Kind.UP)
    assert decision.demand.mean == pytest.approx(2700)


def test_a_burst_of_two_chunks_counts_before_the_mean_knows_of_it():
    quiet = [Sample(40.0 + n, 0, 0) for n in range(58)]
    burst = [*quiet, Sample(98.0, 0, 0), Sample(99.0, 13_000, 0), Sample(100.0, 26_000, 0)]
    decision = decide(100, POLICY, STATE, burst)
    assert (decision.allotment, decision.kind) == (3000, Kind.UP)
    small = [*quiet, Sample(98.0, 0, 0), Sample(99.0, 8000, 0), Sample(100.0, 16_000, 0)]
    assert decide(100, POLICY, STATE, small).kind is Kind.HELD


def test_from_zero_one_request_is_enough():
    asleep = State(allotment=0, minimum=0, maximum=4000, chunk=1000, free=4000)
    assert decide(100, POLICY, asleep, [Sample(99, 0, 0), Sample(100, 2304, 2304)]).allotment == 1000


def test_it_comes_down_after_the_window_to_the_most_that_was_wanted_in_it():
    state = replace(STATE, allotment=4000, wants=(Want(0.0, 4), Want(50.0, 2)))
    assert decide(119, POLICY, state, steady(500, until=119.0)).kind is Kind.HELD
    later = decide(121, POLICY, state, steady(500, until=121.0))
    assert (later.allotment, later.kind) == (2000, Kind.DOWN)
    slow = decide(121, POLICY, replace(state, startup_s=60), steady(500, until=121.0))
    assert slow.kind is Kind.HELD


def test_zero_comes_after_idleness_only_where_the_minimum_is_zero():
    idle = replace(STATE, minimum=0, idle_s=1800)
    quiet = steady(0)
    assert decide(100, POLICY, idle, quiet).kind is Kind.ZERO
    assert decide(100, POLICY, replace(idle, idle_s=1799), quiet).allotment == 1000
    assert decide(100, POLICY, replace(idle, minimum=1), quiet).allotment == 1000


def test_the_reason_names_what_holds_it_back():
    crowded = decide(100, POLICY, replace(STATE, free=1999), steady(5000))
    assert crowded.allotment == 2000
    assert "but the device has 1 chunk free" in crowded.reason
    apart = decide(100, POLICY, replace(STATE, free=1999, devices=2), steady(5000))
    assert "but its 2 devices have 1 chunk free" in apart.reason
    capped = decide(100, POLICY, STATE, steady(50_000))
    assert capped.allotment == 8000
    assert "but the maximum is 8" in capped.reason
    assert decide(100, POLICY, STATE, steady(1700)).reason == (
        "Demand is 1,700 tokens/s at the most (1,700 over 30 s, 1,700 over 10 s, 0 tokens waiting), which takes 2 "
        "chunks of 1,000 tokens/s; raised from 1 chunk to 2."
    )


def test_a_band_that_moved_is_followed_at_once():
    assert decide(100, POLICY, replace(STATE, minimum=2500, free=0), steady(0)).allotment == 3000
    lowered = decide(100, POLICY, replace(STATE, allotment=8000, maximum=4000), steady(9000))
    assert (lowered.allotment, lowered.kind) == (4000, Kind.BAND)


@st.composite
def histories(draw):
    arrived = 0.0
    samples = []
    for at in range(draw(st.integers(1, 70))):
        arrived += draw(st.floats(0, 20_000))
        samples.append(Sample(float(at), arrived, draw(st.floats(0, 50_000))))
    return samples


@st.composite
def states(draw):
    chunk = float(draw(st.integers(1, 2000)))
    low, high = sorted((draw(st.floats(0, 20)), draw(st.floats(0.1, 20))))
    wants = sorted((Want(draw(st.floats(-300, 0)), draw(st.integers(0, 20))) for _ in range(3)), key=lambda w: w.at)
    return State(
        allotment=draw(st.integers(0, 25)) * chunk,
        minimum=low * chunk,
        maximum=high * chunk,
        chunk=chunk,
        free=draw(st.floats(-5, 20)) * chunk,
        startup_s=draw(st.sampled_from([0.0, 60.0])),
        idle_s=draw(st.sampled_from([0.0, 5000.0])),
        wants=tuple(sorted(wants, key=lambda want: -want.chunks)),
    )


@given(states(), histories())
def test_never_outside_the_band_nor_above_what_is_free_and_always_whole_chunks(state, samples):
    decision = decide(samples[-1].at, POLICY, state, samples)
    chunks = round(decision.allotment / state.chunk)
    assert decision.allotment == chunks * state.chunk
    assert state.floor <= chunks <= state.ceiling
    if chunks > state.floor:
        assert decision.allotment <= state.allotment + max(state.free, 0) + 1e-6 * state.chunk
    assert decision == decide(samples[-1].at, POLICY, state, samples)
    assert decision.reason.endswith(".")


@given(states(), histories(), st.lists(st.floats(0, 5000), min_size=70, max_size=70), st.floats(0, 50_000))
def test_more_demand_never_gets_less(state, samples, more, waiting):
    extra, total = [], 0.0
    for sample, added in zip(samples, more, strict=False):
        total += added
        extra.append(Sample(sample.at, sample.arrived + total, sample.backlog + waiting))
    now = samples[-1].at
    assert decide(now, POLICY, state, extra).allotment >= decide(now, POLICY, state, samples).allotment


@given(states(), st.lists(histories(), min_size=2, max_size=4))
def test_what_is_remembered_stays_small_and_in_order(state, parts):
    now, arrived, state = 0.0, 0.0, replace(state, wants=())
    for part in parts:
        shifted = [Sample(now + one.at, arrived + one.arrived, one.backlog) for one in part]
        now, arrived = shifted[-1].at + 1, shifted[-1].arrived
        decision = decide(shifted[-1].at, POLICY, state, shifted)
        state = replace(state, allotment=decision.allotment, wants=decision.wants)
        assert all(a.chunks > b.chunks for a, b in pairwise(decision.wants))
