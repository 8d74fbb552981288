"""What a request is taken to weigh: of several prompts, longer than was thought, of a model that nobody has."""

import pytest

from penstock.domain.fairness import Arbiter
from penstock.domain.profile import CostModel
from penstock.domain.tenancy import HeldBy, Lane, Terms

COST = CostModel(c=0.0086, a=7.45e-5, e=1.3e-8, b=2.56e-4, d=6.0e-7)
T = 2304 / COST.seconds(2048, 256)
TERMS = Terms(T, 8, COST, fixed_s=0.0005)


def arbiter(terms=TERMS, share=0.9):
    made = Arbiter()
    made.set_tenant("one", "m", terms, share, 0.0)
    return made


@pytest.mark.parametrize("tokens_out", [0, 64])
def test_many_prompts_cost_as_much_as_each_by_itself(tokens_out):
    together, apart = arbiter(), arbiter()
    whole = together.arrive("all", "one", 20 * 256, 20 * tokens_out, 0.0, prompts=20)
    single = [apart.arrive(f"q{number}", "one", 256, tokens_out, 0.0) for number in range(20)]
    assert whole.seconds == pytest.approx(sum(one.seconds for one in single))
    together.dispatch(0.0)
    assert together.flying["m"] == pytest.approx(20 * TERMS.slot(256, tokens_out))
    settled = together.settle("all", 20 * 256, 20 * tokens_out, 1.0, cached=20 * 100)
    assert settled == pytest.approx(20 * TERMS.used_s(256, tokens_out, 100))
    assert settled < TERMS.used_s(20 * 256, 20 * tokens_out, 20 * 100)


def test_an_answer_that_outgrows_its_estimate_holds_more_of_the_cache():
    one = arbiter(Terms(T, 8, COST, kv_tokens=2000))
    one.arrive("long", "one", 500, 4000, 0.0)
    assert [grant.request_id for grant in one.dispatch(0.0)] == ["long"]
    told_at = one.progress("long", 700, 1.0)
    one.first("long", 1.0)
    one.arrive("next", "one", 500, 256, 1.0)
    assert 500 + told_at + 500 + 256 > 2000
    assert one.dispatch(1.0) == []
    one.settle("long", 500, 700, 2.0)
    [grant] = one.dispatch(2.0)
    assert (grant.request_id, grant.held_by) == ("next", HeldBy.MEMORY)
    one.settle("next", 500, 10, 3.0)
    assert not one.in_flight


def test_models_that_nobody_has_are_forgotten():
    one = arbiter()
    for number in range(50):
        one.set_tenant("other", f"m{number}", TERMS, 0.05, float(number))
        one.arrive(f"q{number}", "other", 256, 32, float(number))
        assert [grant.request_id for grant in one.dispatch(float(number))] == [f"q{number}"]
        one.settle(f"q{number}", 256, 32, number + 0.5)
    assert set(one.flying) == {"m", "m49"}
    one.remove_tenant("other")
    assert set(one.flying) == {"m"}


def test_a_model_is_kept_while_something_of_it_is_not_settled():
    one = arbiter()
    one.set_tenant("other", "n", Terms(T, 1, COST, running=1), 0.05, 0.0)
    for name in ("sent", "waits"):
        one.arrive(name, "other", 2048, 256, 0.0)
    assert [grant.request_id for grant in one.dispatch(0.0)] == ["sent"]
    one.remove_tenant("other")
    one.settle("sent", 2048, 256, 1.0)
    one.arrive("mine", "one", 256, 32, 1.0)
    sent = {grant.request_id: grant.lane for grant in one.dispatch(1.0)}
    assert set(sent) == {"mine", "waits"}
    assert sent["mine"] is Lane.GUARANTEED
    for name in sent:
        one.settle(name, 10, 10, 2.0)
    one.set_tenant("third", "k", TERMS, 0.01, 2.0)
    one.remove_tenant("third")
    assert set(one.flying) == {"m"}
