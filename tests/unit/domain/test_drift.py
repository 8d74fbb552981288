"""What production says of a profile: which slices count, what is made of them, and of a batch that is not full."""

import pytest

from penstock.domain.drift import LEAST, Drift, Errors, Flight, Meter, Subject, observe, pace
from penstock.domain.profile import CostModel, Fingerprint, Point, Profile

CURVE = (Point(1, 400.0, 1, 1), Point(2, 600.0, 1, 1), Point(4, 800.0, 1, 1), Point(8, 1000.0, 1, 1))
MINUTE = 60.0


def profile_of(name, knee=8, throughput=1000.0):
    print_ = Fingerprint(f"main.default.{name}/1", "cpu 1", "int8", "xeon/2")
    return Profile(print_, False, throughput, knee, CURVE, CostModel(0, 1, 0, 1, 0), 2048, 256, 1.0, 1, 7)


GUIDE, OTHER = profile_of("guide"), profile_of("other")
PROFILES = {Subject(one.fingerprint, one.measured_at): one for one in (GUIDE, OTHER)}
MINE, THEIRS = PROFILES


def fly(meter, began, ended, *, parallel=8, factor=1.0, subject=MINE, measured=0.0, each=5.0):
    """Requests back to back, so many at a time; the device takes `factor` of what they are said to take."""
    at = began
    while at < ended - 1e-9:
        for _ in range(parallel):
            meter.add(Flight(subject, at, at + each, each / parallel / factor, measured * each / parallel))
        at += each


def seen(meter, now=10_000.0):
    return [found for one in meter.close(now) if (found := observe(one, MINUTE, PROFILES)) is not None]


def test_a_busy_minute_tells_what_requests_take():
    for factor in (0.7, 1.0, 1.4):
        meter = Meter(MINUTE)
        fly(meter, 0, 180, factor=factor)
        assert seen(meter) == [(MINE, pytest.approx(factor - 1))] * 3


def test_requests_longer_than_a_minute_are_spread_over_those_they_ran_in():
    meter = Meter(MINUTE)
    for start in range(8):
        fly(meter, 25.0 * start, 25.0 * start + 800, parallel=1, factor=1.3 * 8, each=200.0)
    assert meter.close(300.0) == []  # they may still get more
    found = seen(meter)
    assert len(found) >= 10
    for _, error in found[4:10]:  # all eight are under way
        assert error == pytest.approx(0.3)


def test_a_minute_with_pauses_says_nothing():
    meter = Meter(MINUTE)
    fly(meter, 0, 50)
    assert seen(meter) == []


def test_a_minute_far_below_the_knee_says_nothing():
    meter = Meter(MINUTE)
    fly(meter, 0, 60, parallel=3)
    assert seen(meter) == []


def test_what_a_smaller_batch_wins_less_is_no_drift():
    meter = Meter(MINUTE)
    fly(meter, 0, 60, parallel=4, factor=1000 / 800)
    assert seen(meter) == [(MINE, pytest.approx(0.0))]


def test_a_minute_of_two_versions_says_nothing_of_either():
    meter = Meter(MINUTE)
    fly(meter, 0, 60, parallel=6)
    fly(meter, 0, 60, parallel=2, subject=THEIRS)
    assert seen(meter) == []


def test_a_few_requests_of_another_version_do_no_harm():
    meter = Meter(MINUTE)
    fly(meter, 0, 60)
    meter.add(Flight(THEIRS, 10.0, 12.0, 1.0))
    assert seen(meter) == [(MINE, pytest.approx(60 / 61 - 1))]


def test_open_requests_over_an_engine_that_rests_say_nothing():
    busy, resting = Meter(MINUTE), Meter(MINUTE)
    fly(busy, 0, 60, factor=1.5, measured=0.9)
    fly(resting, 0, 60, factor=1.5, measured=0.4)
    assert seen(busy) == [(MINE, pytest.approx(0.5))]
    assert seen(resting) == []


def test_what_is_not_measured_any_more_says_nothing():
    meter = Meter(MINUTE)
    fly(meter, 0, 60, subject=Subject(GUIDE.fingerprint, 8))
    assert seen(meter) == []


def test_what_comes_for_a_closed_minute_is_left_out():
    meter = Meter(MINUTE)
    fly(meter, 0, 60)
    assert len(seen(meter, 200.0)) == 1
    fly(meter, 0, 60)
    assert seen(meter) == []


@pytest.mark.parametrize(("parallel", "part"), [(0.5, 0.4), (1, 0.4), (3, 0.7), (8, 1.0), (20, 1.0)])
def test_the_curve_tells_what_a_batch_wins(parallel, part):
    assert pace(GUIDE, parallel) == pytest.approx(part)


def test_a_few_minutes_are_not_enough():
    errors = Errors(MINUTE)
    for number in range(LEAST - 1):
        errors.add(60.0 * number, 0.5)
    assert errors.drift(600.0) == Drift(None, LEAST - 1, MINUTE)
    assert not errors.drift(600.0).beyond
    errors.add(600.0, 0.5)
    assert errors.drift(600.0).error == 0.5


def test_the_median_decides_and_forgets_after_an_hour():
    errors = Errors(MINUTE)
    for number in range(20):
        errors.add(60.0 * number, 0.14 if number % 2 else 0.9)
    for number in range(20, 25):
        errors.add(60.0 * number, 0.14)
    assert not errors.drift(1500.0).beyond
    assert errors.drift(1500.0).sentence == ""
    for number in range(25, 45):
        errors.add(60.0 * number, -0.4)
    later = errors.drift(60.0 * 24 + 3600)
    assert (later.beyond, later.slices) == (True, 20)
    assert later.sentence.startswith("Requests take 40% less of the device than was measured (median of 20 busy min")
