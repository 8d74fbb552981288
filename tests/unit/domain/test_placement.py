"""Placement: what fits beside what, and what is said when it does not."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.placement import Device, Reservation, shortfall

GIB = 2**30
DEVICE = Device("cpu-0", "test", 8 * GIB)


def test_what_is_missing_is_named_with_its_holders():
    held = [Reservation("a/m-1", 0.6, 5 * GIB)]
    said = shortfall(DEVICE, held, Reservation("b/m-2", 0.4, 4 * GIB))
    assert "b/m-2" in said
    assert "40.0% of the device's throughput is needed and 30.0% is free" in said
    assert "4,096 MiB of memory is needed and 3,072 is free" in said
    assert "a/m-1 (60.0%, 5,120 MiB)" in said


def test_exactly_what_is_left_fits():
    held = [Reservation(f"e{k}", 0.1, GIB) for k in range(6)]
    assert shortfall(DEVICE, held, Reservation("last", 0.3, 2 * GIB)) is None


@given(st.lists(st.floats(0.01, 0.9), max_size=30))
def test_shares_that_were_placed_never_exceed_what_is_sold(asked):
    held = []
    for share in asked:
        one = Reservation("x", share, 0)
        if shortfall(DEVICE, held, one) is None:
            held.append(one)
    assert sum(one.share for one in held) <= 0.9 + 1e-6
