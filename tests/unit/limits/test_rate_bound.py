"""The bound, on random schedules and on every short one."""

import math
from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.rate_limit import Holding, LimitKey, RateLimit
from penstock.domain.rate_meter import LAG, RateMeter, Reservation, Shortage
from penstock.domain.rate_window import SLOT_S, WINDOW_S, Window

ACTS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "stream", "settle", "drop"]),
        st.integers(0, 9),  # who reserves, or which reservation
        st.integers(0, 120),  # how much
        st.sampled_from([0.0, 0.01, 0.25, 1.0, 7.3, 29.9, 60.0]),  # time that passes
        st.integers(-5, 5),  # by how much a reservation is wrong
    ),
    max_size=60,
)


@dataclass
class Answer:
    """A request as it really is: `real` tokens, of which `come` have come."""

    reservation: Reservation
    holders: tuple
    real: int
    come: int = 0
    last: float = 0.0
    ended: float = math.inf


class Truth:
    """What was really used, token by token, beside the meter."""

    def __init__(self, group_limit=100, endpoint_limit=150, calls=7):
        self.meter = RateMeter()
        self.now = 1000.0
        self.limits = {"": endpoint_limit, "a": group_limit, "b": group_limit}
        self.endpoint = Holding(RateLimit(tokens=endpoint_limit, calls=calls))
        self.calls = calls
        self.log = []  # (time, holder, tokens)
        self.called = []
        self.open = []
        self.answers = []

    def holder(self, name):
        return Holding(RateLimit(LimitKey.USER, name, tokens=self.limits[name]), name)

    def reserve(self, name, estimate, wrong):
        got = self.meter.reserve([(self.endpoint,), (self.holder(name),)], estimate, self.now)
        if isinstance(got, Reservation):
            answer = Answer(got, ("", name), max(estimate + wrong, 0))
            self.open.append(answer)
            self.answers.append(answer)
            self.called.append(self.now)
        return got

    def produce(self, answer, tokens):
        tokens = min(tokens, answer.real - answer.come)
        answer.come += tokens
        answer.last = self.now
        self.log += [(self.now, holder, tokens) for holder in answer.holders]
        answer.reservation.stream(answer.come, self.now)

    def settle(self, answer, whole):
        if whole:
            self.produce(answer, answer.real)
        answer.reservation.settle(answer.come, self.now)
        self.open.remove(answer)
        answer.ended = self.now

    def used(self, holder):
        return sum(tokens for at, who, tokens in self.log if who == holder and at > self.now - WINDOW_S)

    def check(self):
        """The bound as it is documented, for every limit."""
        for holder, limit in self.limits.items():
            mine = [one for one in self.answers if holder in one.holders and one.last > self.now - WINDOW_S]
            beyond = sum(max(one.come - one.reservation.tokens, 0) for one in mine)
            assert self.used(holder) <= limit + beyond
        assert sum(at > self.now - WINDOW_S for at in self.called) <= self.calls

    def act(self, kind, number, amount, wrong):
        if kind == "reserve":
            self.reserve("ab"[number % 2], amount, wrong)
        elif self.open:
            answer = self.open[number % len(self.open)]
            if kind == "stream":
                self.produce(answer, amount)
            else:
                self.settle(answer, whole=kind == "settle")


@settings(max_examples=200, deadline=None)
@given(ACTS)
def test_the_bound_holds_on_any_schedule(acts):
    truth = Truth()
    for kind, number, amount, passed, wrong in acts:
        truth.now += passed
        truth.act(kind, number, amount, wrong)
        truth.check()


@settings(max_examples=200, deadline=None)
@given(ACTS)
def test_nothing_goes_over_while_reservations_hold(acts):
    truth = Truth()
    for kind, number, amount, passed, _ in acts:
        truth.now += passed
        truth.act(kind, number, amount, 0)
        for holder, limit in truth.limits.items():
            assert truth.used(holder) <= limit


@settings(max_examples=200, deadline=None)
@given(ACTS)
def test_whoever_is_refused_had_no_room(acts):
    """No budget is withheld but by a slot, and by the few tokens of each answer that are counted at its end."""
    truth = Truth(calls=1000)
    for kind, number, amount, passed, _ in acts:
        truth.now += passed
        if kind != "reserve":
            truth.act(kind, number, amount, 0)
            continue
        name = "ab"[number % 2]
        got = truth.reserve(name, amount, 0)
        if isinstance(got, Shortage):
            lately = truth.now - WINDOW_S - SLOT_S

            def could(holder, lately=lately):
                used = sum(tokens for at, who, tokens in truth.log if who == holder and at >= lately)
                promised = sum(one.real - one.come for one in truth.open if holder in one.holders)
                lagging = LAG * sum(holder in one.holders and one.ended >= lately for one in truth.answers)
                return used + promised + lagging

            assert any(could(holder) + amount > truth.limits[holder] for holder in ("", name))


@settings(max_examples=200, deadline=None)
@given(ACTS, st.integers(1, 100))
def test_there_is_room_when_it_was_said(acts, amount):
    truth = Truth()
    for kind, number, much, passed, _ in acts:
        truth.now += passed
        truth.act(kind, number, much, 0)
    for answer in list(truth.open):
        truth.settle(answer, whole=True)
    short = truth.meter.reserve([(truth.endpoint,), (truth.holder("a"),)], amount, truth.now)
    if isinstance(short, Shortage):
        assert 0 < short.wait_s <= WINDOW_S + SLOT_S
        one = short.holding.account[1]
        for _ in range(3):  # what else is short says so in its turn
            truth.now += short.wait_s + 1e-6
            short = truth.meter.reserve([(truth.endpoint,), (truth.holder("a"),)], amount, truth.now)
            if isinstance(short, Reservation):
                return
        raise AssertionError(one)


# ---- every short schedule over a coarse grid: the model check of reserve, stream, settle

LIMIT = 20
STEPS = [
    *[("reserve", size, wrong) for size in (9, 11) for wrong in (0, 2)],
    *[(kind, number, 6) for number in (0, 1) for kind in ("stream", "settle", "drop")],
    ("pass", 30.0, 0),
    ("pass", 30.5, 0),
]
DEPTH = 6


def walk(path):
    """Where a path leads, checked at every step; None if it cannot be gone."""
    truth = Truth(group_limit=LIMIT, endpoint_limit=LIMIT, calls=1000)
    for kind, first, second in path:
        if kind == "pass":
            truth.now += first
        elif kind == "reserve":
            truth.reserve("a", first, second)
        elif first >= len(truth.open):
            return None
        elif kind == "stream":
            truth.produce(truth.open[first], second + LAG)
        else:
            truth.settle(truth.open[first], whole=kind == "settle")
        truth.check()
        window = truth.meter.left([(truth.holder("a"),)], truth.now)["tokens"]
        assert 0 <= window.left <= LIMIT - sum(max(one.reservation.tokens - one.come, 0) for one in truth.open)
    return truth


def state_of(truth):
    """All that what follows can depend on."""
    answers = [(one.real, one.come, one.reservation.used, one.reservation.last) for one in truth.open]
    recent = Counter()
    for at, holder, tokens in truth.log:
        if truth.now - at <= WINDOW_S + SLOT_S:
            recent[round(truth.now - at, 2), holder] += tokens
    return tuple(answers), frozenset(recent.items()), truth.meter.left([(truth.holder("a"),)], truth.now)["tokens"].left


def test_every_short_schedule_keeps_the_bound():
    frontier, seen = [()], set()
    for _ in range(DEPTH):
        following = []
        for path in frontier:
            for step in STEPS:
                truth = walk((*path, step))
                if truth is None or (state := state_of(truth)) in seen:
                    continue
                seen.add(state)
                following.append((*path, step))
        frontier = following
    assert len(seen) > 500  # it went through many states


# ---- single steps


def test_a_call_that_was_never_sent_is_given_back():
    meter, one = RateMeter(), Holding(RateLimit(calls=1))
    first = meter.reserve([(one,)], 5, 10.0)
    assert isinstance(first, Reservation)
    assert isinstance(meter.reserve([(one,)], 5, 10.0), Shortage)
    first.settle(0, 10.1, called=False)
    assert isinstance(meter.reserve([(one,)], 5, 10.2), Reservation)


def test_what_is_reserved_counts_until_it_is_settled_and_once():
    window = Window(100)
    reservation = Reservation((), (window,), 60, 0.0)
    reservation.stream(20 + LAG, 5.0)
    assert (window.taken(5.0), window.open) == (60, 40)
    assert window.taken(66.0) == 40  # what came has aged, what is promised has not
    reservation.settle(30, 70.0)
    reservation.settle(30, 70.0)
    assert (window.taken(70.0), window.open) == (10, 0)


def test_an_answer_with_fewer_tokens_than_events_gets_back_what_it_had_last():
    window = Window(100)
    reservation = Reservation((), (window,), 60, 0.0)
    reservation.stream(30 + LAG, 5.0)
    reservation.settle(20, 5.1)
    assert window.taken(5.1) == 20


def test_one_group_with_room_is_enough_and_is_the_one_that_is_charged():
    meter = RateMeter()
    blue = Holding(RateLimit(LimitKey.USER_GROUP, "blue", tokens=10), "blue")
    red = Holding(RateLimit(LimitKey.USER_GROUP, "red", tokens=20), "red")
    assert isinstance(meter.reserve([(blue, red)], 8, 0.0), Reservation)
    assert isinstance(meter.reserve([(blue, red)], 8, 0.0), Reservation)
    short = meter.reserve([(blue, red)], 15, 0.0)
    assert isinstance(short, Shortage)
    assert meter.left([(blue,)], 0.0)["tokens"].left == 2
    assert meter.left([(red,)], 0.0)["tokens"].left == 12


def test_all_or_nothing():
    meter = RateMeter()
    wide, narrow = Holding(RateLimit(tokens=100)), Holding(RateLimit(LimitKey.USER, "a", tokens=10), "a")
    assert isinstance(meter.reserve([(wide,), (narrow,)], 50, 0.0), Shortage)
    assert meter.left([(wide,)], 0.0)["tokens"].left == 100


def test_a_changed_limit_counts_at_once_with_what_was_used():
    meter = RateMeter()
    assert isinstance(meter.reserve([(Holding(RateLimit(calls=5)),)], 0, 0.0), Reservation)
    assert isinstance(meter.reserve([(Holding(RateLimit(calls=1)),)], 0, 1.0), Shortage)
    assert isinstance(meter.reserve([(Holding(RateLimit(calls=2)),)], 0, 1.0), Reservation)


def test_idle_accounts_are_forgotten():
    meter = RateMeter()
    for number in range(50):
        one = Holding(RateLimit(LimitKey.USER, calls=5, tokens=100), str(number))
        got = meter.reserve([(one,)], 10, float(number))
        got.settle(5, number + 0.5)
    meter.forget(70.0)
    assert 0 < len(meter) < 50
    meter.forget(200.0)
    assert len(meter) == 0


def test_memory_of_a_busy_limit_is_bounded():
    window = Window(10**9)
    for step in range(100_000):
        window.add(1, step / 100)
    assert len(window._slots) <= WINDOW_S / SLOT_S + 2
