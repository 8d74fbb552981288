"""Trials: what is counted of them, what comes next, and how they are made to fit into a time."""

import pytest

from penstock.domain import sweep
from penstock.domain.effort import Course, whole
from penstock.domain.profile import CostModel
from penstock.domain.sweep import Result, Trial

COST = CostModel(c=2e-3, a=9e-5, e=7e-9, b=4e-4, d=5e-8)
SHAPE = (2048, 256)


def course(tokens_in, sent_s, first_s, tokens=1):
    made = Course(tokens_in, sent_s)
    for number in range(tokens):
        made.tell(first_s + 0.01 * number, number + 1)
    return made


def test_no_more_run_at_once_than_the_kv_cache_holds():
    assert sweep.most_parallel(SHAPE, 32, 0) == 32
    assert sweep.most_parallel(SHAPE, 32, 20 * 2304) == 16
    assert sweep.most_parallel((64, 64), 32, 20 * 2304) == 32
    assert sweep.most_parallel(SHAPE, 32, 3 * 2304) == 2
    assert sweep.most_parallel(SHAPE, 32, 100) == 1


def test_the_curve_goes_on_while_doubling_wins_and_to_sixteen_anyhow():
    points = []
    for parallel in (1, 2, 4, 8, 16, 32):
        assert sweep.more(points, 48) == parallel
        points.append((parallel, float(parallel)))
    assert sweep.more(points, 48) == 48
    assert sweep.more(points, 32) is None
    flat = [(1, 10.0), (2, 10.0), (4, 10.0), (8, 10.0)]
    assert sweep.more(flat, 48) == 16
    assert sweep.more([*flat, (16, 10.4)], 48) is None


@pytest.mark.parametrize(("allowed_s", "tokens_in"), [(1000, 2048), (3, 1024), (1e-9, 64)])
def test_a_point_is_measured_with_requests_as_long_as_time_permits(allowed_s, tokens_in):
    twice_as_slow = Result(Trial(4, *SHAPE), whole(*SHAPE, 10), 20 * COST.seconds(*SHAPE), 1.0)
    trial = sweep.next_point(8, SHAPE, twice_as_slow, COST, allowed_s)
    assert trial.shape == (tokens_in, tokens_in // 8)
    assert trial.seconds == allowed_s


def test_a_trial_never_has_empty_requests():
    assert sweep.next_point(16, (16, 1), Result(Trial(8, 16, 1), whole(16, 1), 9.0, 1.0), COST, 0.0).shape == (1, 1)
    assert all(min(Trial(16, 1, 1).first(number)) >= 1 for number in range(16))
    assert [Trial(4, *SHAPE).first(number) for number in range(4)] == [(512, 64), (1024, 128), (1536, 192), SHAPE]
    assert [Trial(2, *SHAPE, steady=True).first(number) for number in range(2)] == [(2048, 128), SHAPE]
    assert Trial(2, 512, 0).first(0) == (256, 0)


def test_counting_begins_when_all_are_under_way_and_ends_when_time_is_up():
    trial = Trial(2, 100, 10, seconds=3.0)
    courses = [course(50, 0.0, 0.5), course(100, 0.0, 1.0)]
    assert sweep.window(trial, courses, 0.0, 9.0) is None
    courses.append(course(100, 1.0, 2.0, 10))
    assert sweep.window(trial, courses, 0.0, 2.9) is None, "too early"
    courses.append(course(100, 2.0, 3.5))
    assert sweep.window(trial, courses, 0.0, 3.5) == (1.0, 3.5)
    assert sweep.window(trial, courses, 1.0, 3.5) is None, "it began later"
    found = sweep.result(trial, courses, 1.0, 3.5)
    assert found.effort.terms[:4] == (2, 200, 20_000, 11)
    assert (found.wall_s, found.ttft_s) == (2.5, 1.5)


def test_a_trial_with_many_in_flight_waits_for_an_eighth_of_them():
    trial = Trial(16, 100, 10)
    courses = [course(100, 0.0, 1.0 + number / 10) for number in range(17)]
    assert trial.least == 2
    assert sweep.window(trial, courses[:16], 0.0, 3.0) is None
    assert sweep.window(trial, courses, 0.0, 3.0) is None
    courses.append(course(100, 1.0, 3.0))
    assert sweep.window(trial, courses, 0.0, 3.0) == (2.5, 3.0)
    assert sweep.window(trial, [*courses[:15], Course(100, 0.0), *courses[16:]], 0.0, 3.0) is None, "one has not begun"


def test_a_request_takes_its_part_of_what_was_done():
    half = Result(Trial(4, *SHAPE), whole(*SHAPE, 5), 10.0, 1.0)
    assert half.seconds(COST) == pytest.approx(2.0)
    assert half.seconds(CostModel(1, 0, 0, 0, 0)) == pytest.approx(2.0)


def test_shapes_are_shortened_to_fit_time_and_context():
    made = sweep.shapes(SHAPE, 8192, COST, lambda _: 8, 1e9)
    assert (made.grid, made.held_out) == (sweep.GRID, sweep.HELD_OUT)
    quick = sweep.shapes(SHAPE, 8192, COST, lambda _: 8, 5.0)
    assert quick.grid[0][0] in {1024, 512, 256, 128, 64}
    assert sum(sweep.takes(8, one, COST) for one in quick.all) <= 5.0 * sweep.OVERTIME
    narrow = sweep.shapes((800, 100), 900, COST, lambda _: 8, 1e9)
    assert all(sum(one) <= 900 for one in narrow.all)
    assert len(narrow.all) > 8
    assert sweep.shapes((512, 0), 512, COST, lambda _: 8, 1e9).all == sweep.ENCODER_GRID + sweep.ENCODER_HELD_OUT


def test_each_shape_gets_its_part_of_the_time():
    left, spent = list(sweep.GRID), 0.0
    while left:
        spent += sweep.shape_s(left, COST, 10.0 - spent)
        left.pop(0)
    assert spent == pytest.approx(10.0)
    assert sweep.shape_s(sweep.GRID, COST, -1.0) == 0.0
