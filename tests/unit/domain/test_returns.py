"""Places of callers that were refused."""

from penstock.domain.returns import GRACE_S, LINE_S, MOST_PLACES, Returns


def test_each_caller_has_a_time_of_its_own():
    line = Returns(0.0)
    assert [line.place(claim, 1.0, 0.5, 0.0) for claim in (11, 12, 13)] == [1.0, 1.5, 2.0]


def test_a_place_is_taken_once_and_not_before_its_time():
    line = Returns(0.0)
    at = line.place(11, 2.0, 0.5, 0.0)
    assert not line.take(11, at - 0.1)
    assert line.take(11, at)
    assert not line.take(11, at)


def test_who_comes_early_keeps_its_place():
    line = Returns(0.0)
    line.place(11, 2.0, 0.5, 0.0)
    line.place(12, 2.0, 0.5, 0.0)
    assert line.place(11, 5.0, 0.5, 1.0) == 2.0
    assert line.take(11, 2.0)


def test_who_comes_much_too_late_has_none():
    line = Returns(0.0)
    line.place(11, 2.0, 0.5, 0.0)
    assert not line.take(11, 2.1 + GRACE_S)
    assert not line.take(11, 2.0)


def test_a_stranger_has_none():
    line = Returns(0.0)
    line.place(11, 2.0, 0.5, 0.0)
    assert not line.take(12, 2.0)


def test_a_line_of_callers_who_never_come_ends_somewhere():
    line = Returns(0.0)
    told = [line.place(claim, 1.0, 1.0, 0.0) for claim in range(1000)]
    assert max(told) == LINE_S
    assert line.place(None, 1.0, 1.0, LINE_S - 1.0) == LINE_S + 1.0


def test_places_are_bounded_and_the_oldest_go_first():
    line = Returns(0.0)
    for claim in range(2 * MOST_PLACES):
        line.place(claim, 1.0, 0.01, 0.0)
    assert not line.take(0, 15.0)
    assert line.take(2 * MOST_PLACES - 1, 1.0 + 0.01 * (2 * MOST_PLACES - 1))


def test_callers_without_a_claim_are_told_different_times_too():
    line = Returns(0.0)
    assert line.place(None, 1.0, 0.5, 0.0) == 1.0
    assert line.place(None, 1.0, 0.5, 0.0) == 1.5
    assert not line
