"""The arbiter of a device, in virtual time: with a device that works off what it is given at its own rate."""

import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.decision import summary
from penstock.domain.fairness import Admitted, Arbiter, Refused
from penstock.domain.profile import CostModel
from penstock.domain.tenancy import Lane, Priority, Terms

COST = CostModel(c=0.0086, a=7.45e-5, e=1.3e-8, b=2.56e-4, d=6.0e-7)
T = 2304 / COST.seconds(2048, 256)
TERMS = Terms(T, 8, COST, fixed_s=0.0005, running=32)


class Bench:
    """An arbiter before a device that shares its time evenly among what is in flight."""

    def __init__(self, shares, terms=TERMS):
        self.now = 0.0
        self.arbiter = Arbiter()
        self.terms = terms
        for name, share in shares.items():
            self.arbiter.set_tenant(name, "m", terms, share, 0.0)
        self.flying = {}
        self.shape = {}
        self.done = defaultdict(float)
        self.sent_at = {}
        self.answers = {}
        self.busy = 0.0
        self.idle_while_waiting = 0.0

    def ask(self, name, i, o, *, cap=None, request_id=None, **kind):
        request_id = request_id or f"q{len(self.answers)}"
        answer = self.arbiter.arrive(request_id, name, i, cap or o, self.now, **kind)
        self.answers[request_id] = answer
        self.shape[request_id] = (name, i, o)
        self.send()
        return request_id, answer

    def send(self):
        for grant in self.arbiter.dispatch(self.now):
            name, i, o = self.shape[grant.request_id]
            assert grant.tenant == name
            self.flying[grant.request_id] = self.terms.cost.seconds(i, o)
            self.sent_at[grant.request_id] = (self.now, grant.lane)

    def run(self, seconds, step=0.02):
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += step
            if self.flying:
                self.busy += step
                part = step / len(self.flying)
                for request_id in list(self.flying):
                    self.work(request_id, part)
            elif self.arbiter.waiting:
                self.idle_while_waiting += step
            self.send()

    def work(self, request_id, part):
        name, i, o = self.shape[request_id]
        self.flying[request_id] -= part
        self.done[name] += part
        if self.flying[request_id] <= self.terms.cost.b * o:
            self.arbiter.first(request_id, self.now)
        if self.flying[request_id] <= 0:
            del self.flying[request_id]
            self.arbiter.settle(request_id, i, o, self.now)


def drive(bench, loads, seconds, shapes, seed=1):
    """Poisson arrivals: each name offers `loads[name]` device seconds per second, with requests of its shape."""
    rng = random.Random(seed)
    due = {name: rng.expovariate(loads[name] / COST.seconds(*shapes[name])) for name in loads}
    marks = []
    while bench.now < seconds:
        for name in loads:
            while due[name] <= bench.now:
                bench.ask(name, *shapes[name])
                due[name] += rng.expovariate(loads[name] / COST.seconds(*shapes[name]))
        bench.run(0.1)
        marks.append(dict(bench.done))
    return marks


def least(marks, name, share, window_s, *, skip_s=15.0):
    """The least attained part of what was bought, over all windows after the first `skip_s`."""
    size, skip = round(window_s * 10), round(skip_s * 10)
    gained = [
        marks[at + size].get(name, 0) - marks[at].get(name, 0) for at in range(skip, len(marks) - size)
    ]  # fmt: skip
    return min(gained) / (window_s * share)


@pytest.mark.parametrize("own", [(2048, 256), (128, 512), (4000, 100)])
def test_a_noisy_neighbour_takes_nothing_of_what_was_bought(own):
    bench = Bench({"a": 0.45, "b": 0.45})
    marks = drive(bench, {"a": 0.45 * 1.3, "b": 4.5}, 120, {"a": own, "b": (3500, 64)})
    assert least(marks, "a", 0.45, 60) > 0.99
    assert bench.idle_while_waiting == 0


class TwoEngines(Bench):
    """Two models, each with an engine of its own: while both have work, the operating system halves the device."""

    def run(self, seconds, step=0.02):
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += step
            engines = [[one for one in self.flying if self.shape[one][0] == name] for name in ("a", "b")]
            engines = [one for one in engines if one]
            for flying in engines:
                for request_id in flying:
                    self.work(request_id, step / len(engines) / len(flying))
            self.send()


def test_a_model_does_not_run_away_from_another_that_bought_more():
    """Both want all there is. Left to the operating system, the one that bought two thirds would get half."""
    bench = TwoEngines({})
    for name, model, share in (("a", "m", 0.6), ("b", "n", 0.3)):
        bench.arbiter.set_tenant(name, model, TERMS, share, 0.0)
    marks = drive(bench, {"a": 1.5, "b": 1.5}, 120, {"a": (2048, 256), "b": (2048, 256)})
    assert least(marks, "a", 0.6, 60) >= 0.95
    assert least(marks, "b", 0.3, 60) >= 0.95


def test_below_its_allotment_nobody_is_refused_and_nobody_waits_long():
    bench = Bench({"a": 0.45, "b": 0.45})
    drive(bench, {"a": 0.3, "b": 4.5}, 120, {"a": (1024, 128), "b": (3500, 64)})
    mine = [key for key, (name, _, _) in bench.shape.items() if name == "a"]
    assert not any(isinstance(bench.answers[key], Refused) for key in mine)
    assert any(isinstance(answer, Refused) for answer in bench.answers.values())
    assert sum(key in bench.sent_at for key in mine) >= len(mine) - 3


def test_what_is_not_used_is_lent_and_taken_back():
    bench = Bench({"a": 0.45, "b": 0.45})
    drive(bench, {"b": 2.0}, 30, {"b": (1024, 128)})
    assert bench.done["b"] / bench.now > 0.95
    before = dict(bench.done)
    drive(bench, {"a": 2.0, "b": 2.0}, 60, {"a": (1024, 128), "b": (1024, 128)})
    assert (bench.done["a"] - before.get("a", 0)) / 30 > 0.43


def test_excess_is_shared_in_proportion():
    shares = {f"e{k}": 0.09 for k in range(10)}
    bench = Bench(shares)
    drive(bench, dict.fromkeys(shares, 0.5), 200, dict.fromkeys(shares, (1024, 128)))
    got = [bench.done[name] for name in shares]
    assert sum(got) ** 2 / (len(got) * sum(x * x for x in got)) > 0.98


def test_an_allotment_changes_at_once():
    bench = Bench({"a": 0.1, "b": 0.8})
    for _ in range(200):
        bench.ask("a", 1024, 128)
        bench.ask("b", 1024, 128)
    bench.arbiter.set_tenant("a", "m", TERMS, 0.8, bench.now)
    bench.arbiter.set_tenant("b", "m", TERMS, 0.1, bench.now)
    before = dict(bench.done)
    bench.run(3)
    assert bench.done["a"] - before.get("a", 0) > 3 * (bench.done["b"] - before.get("b", 0))


def test_classes_go_in_order_and_users_share_alike():
    bench, batches = Bench({"a": 0.0}), set()
    for k in range(30):
        batches.add(bench.ask("a", 512, 64, priority=Priority.BATCH)[0])
        bench.ask("a", 512, 64, priority=Priority.SHARED, user="greedy")
        if k % 3 == 0:
            bench.ask("a", 512, 64, priority=Priority.SHARED, user="modest")
    bench.run(60)
    order = list(bench.sent_at)
    first_batch = next(at for at, key in enumerate(order[10:], 10) if key in batches)
    assert all(key in batches for key in order[first_batch:])
    assert len(order) == 70


def test_a_long_answer_is_charged_ahead():
    bench = Bench({"a": 0.9})
    request_id, answer = bench.ask("a", 100, 10, cap=4000)
    tenant = bench.arbiter.tenants["a"]
    before = tenant.arrivals
    bench.arbiter.progress(request_id, 1000, bench.now)
    assert isinstance(answer, Admitted)
    assert tenant.arrivals < before - COST.seconds(100, 1000) / 2


@pytest.mark.parametrize(("load", "accepted"), [(1.5, 0.9), (3.0, 0.9)])
def test_who_comes_back_when_told_is_not_refused_again(load, accepted):
    bench, rng = Bench({"a": 0.45, "b": 0.45}), random.Random(7)
    cost = COST.seconds(1024, 128)
    due = dict.fromkeys("ab", 0.0)
    again, firsts, made = [], [], 0
    while bench.now < 120:
        for name in due:
            while due[name] <= bench.now:
                due[name] += rng.expovariate(load * 0.45 / cost)
                made += 1
                _, answer = bench.ask(name, 1024, 128, claim=lambda number=made: number)
                if isinstance(answer, Refused):
                    again.append((bench.now + answer.retry_after_s, name, made))
        for at, name, number in [one for one in again if one[0] <= bench.now]:
            again.remove((at, name, number))
            firsts.append(isinstance(bench.ask(name, 1024, 128, claim=lambda number=number: number)[1], Admitted))
        bench.run(0.1)
    assert len(firsts) > 30
    assert sum(firsts) / len(firsts) >= accepted
    # And those who do not ask twice lose nothing of what was bought.
    assert bench.done["a"] / bench.now > 0.44


def test_retry_after_differs_from_caller_to_caller():
    bench = Bench({"a": 0.2, "b": 0.2})
    refused = [answer for _ in range(60) if isinstance((answer := bench.ask("a", 2048, 256)[1]), Refused)]
    waits = [answer.retry_after_s for answer in refused]
    assert len(waits) > 5
    assert waits == sorted(waits)
    assert len(set(waits)) > len(waits) / 2
    assert "wait already" in refused[0].reason
    assert {summary(answer.decision) for answer in refused} == {"refused, above its rate: the queue is full"}
    assert f"back in {waits[0]} s" in refused[0].decision


def test_a_cancelled_request_costs_nothing_and_lets_the_next_pass():
    bench = Bench({"a": 0.5, "b": 0.4})
    ids = [bench.ask("a", 2048, 256)[0] for _ in range(20)]
    waiting = [key for key in ids if key not in bench.sent_at and isinstance(bench.answers[key], Admitted)]
    for key in waiting[:-1]:
        bench.arbiter.cancel(key, bench.now)
        bench.arbiter.cancel(key, bench.now)
    assert bench.arbiter.waiting == 1
    bench.run(30)
    assert waiting[-1] in bench.sent_at
    assert bench.arbiter.waiting == bench.arbiter.in_flight == 0


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "run", "cancel", "kill", "share", "remove"]),
        st.integers(0, 4),
        st.integers(1, 4000),
        st.integers(1, 600),
        st.sampled_from(list(Priority)),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(_EVENTS)
def test_whatever_happens_each_admitted_request_is_settled_once_and_none_is_left(events):
    bench = Bench({f"e{k}": 0.18 for k in range(5)})
    for kind, who, i, o, priority in events:
        name = f"e{who}"
        if kind == "ask" and name in bench.arbiter.tenants:
            bench.ask(name, i, o, cap=4096, priority=priority, user=f"u{i % 3}")
        elif kind == "run":
            bench.run(i / 1000)
        elif kind == "cancel":
            bench.arbiter.cancel(f"q{i % (len(bench.answers) + 1)}", bench.now)
        elif kind == "kill" and bench.flying:
            key = sorted(bench.flying)[i % len(bench.flying)]
            del bench.flying[key]
            bench.arbiter.settle(key, i, o // 2, bench.now, whole=False)
        elif kind == "share" and name in bench.arbiter.tenants:
            bench.arbiter.set_tenant(name, "m", TERMS, o / 600 * 0.18, bench.now)
        elif kind == "remove":
            bench.arbiter.remove_tenant(name)
            bench.arbiter.set_tenant(name, "m", TERMS, 0.18, bench.now)
        assert bench.arbiter.sold <= 0.9 + 1e-9
        assert bench.arbiter.in_flight == len(bench.flying)
        bench.send()
        assert not bench.arbiter.waiting or bench.flying, "work waits and the device is idle"
    for _ in range(3000):
        if not bench.arbiter.waiting and not bench.flying:
            break
        bench.run(1.0, step=0.5)
    assert bench.arbiter.waiting == bench.arbiter.in_flight == 0
    assert not bench.arbiter.flying["m"]


def test_the_real_time_lane_is_for_what_was_bought():
    bench = Bench({"a": 0.45, "b": 0.45})
    drive(bench, {"a": 0.3, "b": 3.0}, 40, {"a": (1024, 128), "b": (1024, 128)})
    lanes = [lane for key, (_, lane) in bench.sent_at.items() if bench.shape[key][0] == "a"]
    assert lanes.count(Lane.GUARANTEED) > len(lanes) / 2
