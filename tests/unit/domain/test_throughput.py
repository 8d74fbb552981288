"""Chunks: how throughput is divided and what it takes of a device."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.throughput import Chunks, divide


@pytest.mark.parametrize(
    ("throughput", "chunk", "slices"),
    [(500, 450, 1), (3839, 860, 4), (20_000, 1100, 16), (853 * 16, 760, 16), (7.9, 7, 1), (0.5, 1, 1)],
)
def test_chunks_are_two_digits_of_nine_tenths(throughput, chunk, slices):
    divided = divide(throughput)
    assert (divided.chunk, divided.slices) == (chunk, slices)


@given(st.floats(100, 1e7))
def test_all_chunks_of_a_device_are_never_more_than_is_sold(throughput):
    divided = divide(throughput)
    assert divided.chunk * divided.slices <= 0.9 * throughput * (1 + 1e-9)
    assert divided.share(divided.chunk * divided.slices) == pytest.approx(0.9)


@given(st.floats(100, 1e7), st.integers(1, 10**7))
def test_capacity_is_rounded_up_to_whole_chunks(throughput, asked):
    divided = divide(throughput)
    assert divided.count(asked) * divided.chunk >= asked
    assert (divided.count(asked) - 1) * divided.chunk < asked
    assert divided.provisioned_concurrency(asked) == 4 * divided.count(asked)


def test_nothing_asked_takes_nothing():
    assert divide(5000).share(0) == 0


def test_concurrency_is_worth_what_the_reference_says():
    """8 units where a band is 850 tokens/s are 8 x 850 / 4."""
    chunks = Chunks(850, 4, 4 * 850 / 0.9)
    assert chunks.provisioned_concurrency(1700) == 8
    assert chunks.provisioned_concurrency(1701) == 12
