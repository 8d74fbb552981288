"""Windows of a trial: what was done in them, to the token."""

import pytest

from penstock.domain.effort import Course, edges, effort, whole
from penstock.domain.profile import CostModel

COST = CostModel(c=2e-3, a=9e-5, e=7e-9, b=4e-4, d=5e-8)


def course(tokens_in, sent_s, first_s, tokens, step_s=0.1):
    """A request whose answer comes evenly."""
    made = Course(tokens_in, sent_s)
    for number in range(tokens):
        made.tell(first_s + number * step_s, number + 1)
    return made


def test_whole_requests_cost_what_the_model_says():
    one = course(100, 0.0, 1.0, 20)
    assert effort([one], 0.5, 9.0) == whole(100, 20)
    assert whole(100, 20, 3).seconds(COST) == pytest.approx(3 * COST.seconds(100, 20))


def test_windows_that_follow_each_other_add_up():
    courses = [course(100, 0.0, 0.5, 40), course(900, 0.1, 1.7, 15), course(30, 2.0, 2.2, 60)]
    parts = [effort(courses, begin, begin + 1.0) for begin in range(10)]
    for index, term in enumerate(effort(courses, 0.0, 10.0).terms):
        assert sum(part.terms[index] for part in parts) == pytest.approx(term)


def test_a_prompt_counts_where_its_first_token_comes():
    one = course(100, 0.0, 1.0, 20)
    assert effort([one], 0.0, 0.99).terms == (0, 0, 0, 0, 0)
    assert effort([one], 0.0, 1.0).terms[:4] == (1, 100, 10_000, 1)
    assert effort([one], 1.0, 1.1).terms == (0, 0, 0, 1, pytest.approx(101.5))
    assert effort([Course(50, 0.0)], 0.0, 9.0).terms == (0, 0, 0, 0, 0)


def test_edges_are_first_tokens_of_different_steps():
    courses = [course(10, 0.0, at, 1) for at in (3.0, 1.0, 1.0005, 2.0, 0.2)]
    assert edges([*courses, Course(10, 2.5)], 0.5) == [1.0, 2.0, 3.0]


def test_requests_that_are_shorter_than_a_step_usually_is_have_edges_too():
    moments = [0.0003 * number for number in range(1, 9)]
    assert edges([course(10, 0.0, at, 1) for at in moments], 0.0) == moments
    assert edges([], 0.0) == []
