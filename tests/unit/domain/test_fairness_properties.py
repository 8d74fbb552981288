"""What always holds at a device's arbiter, whatever happens: random schedules in virtual time.

`SCHEDULES=5000` in the environment tries so many of each kind.
"""

import os
import random
from collections import Counter, defaultdict
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.fairness import Admitted, Arbiter, Refused
from penstock.domain.profile import CostModel
from penstock.domain.tenancy import Lane, Priority, Terms

COST = CostModel(c=0.0086, a=7.45e-5, e=1.3e-8, b=2.56e-4, d=6.0e-7)
TERMS = Terms(2304 / COST.seconds(2048, 256), 8, COST, fixed_s=0.0005, running=32)
PLACES = 6
FEW = replace(TERMS, running=PLACES)
"""So that an endpoint can always have as many waiting as are in flight: it may, whatever they cost."""
KEYS = ("a", "b", "c", "d")
SCHEDULES = int(os.environ.get("SCHEDULES", "300"))
LONGEST = (8000, 4096)
SHAPES = st.tuples(st.integers(1, LONGEST[0]), st.integers(1, LONGEST[1]))
SAID = st.sampled_from([0, LONGEST[1]])
"""What `max_tokens` says of a request: just what it will produce, or far too much."""
SHARES = st.lists(st.integers(1, 10), min_size=2, max_size=4).map(
    lambda parts: [0.9 * part / sum(parts) for part in parts]
)


class Device:
    """Works off what the arbiter sends, evenly shared, and checks every answer as it comes."""

    def __init__(self, shares, terms=TERMS):
        self.arbiter, self.now = Arbiter(), 0.0
        for key, share in zip(KEYS, shares, strict=False):
            self.arbiter.set_tenant(key, "m", terms, share, 0.0)
        self.shapes, self.waiting, self.left = {}, {}, {}
        self.ends, self.done = Counter(), defaultdict(float)
        self.order, self.slowness, self.longest, self.most_held = [], 0.0, 0.0, 0.0

    def ask(self, key, shape, *, most=0, priority=Priority.RESERVED, user=""):
        name = f"r{len(self.shapes)}"
        self.longest = max(self.longest, COST.seconds(*shape))
        self.shapes[name] = (key, *shape)
        answer = self.arbiter.arrive(name, key, shape[0], most or shape[1], self.now, priority=priority, user=user)
        if isinstance(answer, Admitted):
            self.waiting[name] = key
        else:
            assert answer.retry_after_s >= 1
            self.ends[name] += 1
        self.send()
        return name, answer

    def send(self):
        for grant in self.arbiter.dispatch(self.now):
            assert self.waiting.pop(grant.request_id) == grant.tenant
            self.left[grant.request_id] = COST.seconds(*self.shapes[grant.request_id][1:])
            self.order.append(grant)
        self.most_held = max(self.most_held, sum(self.left.values()))
        # Work conservation: a device never idles while anything waits.
        assert self.left or not self.waiting
        assert self.arbiter.waiting == len(self.waiting)
        assert self.arbiter.in_flight == len(self.left)

    def cancel(self, name):
        self.arbiter.cancel(name, self.now)
        self.arbiter.cancel(name, self.now)
        if self.waiting.pop(name, None) is not None:
            self.ends[name] += 1
        self.send()

    def end(self, name, *, whole=True):
        _, tokens_in, tokens_out = self.shapes[name]
        del self.left[name]
        took = COST.seconds(tokens_in, tokens_out) * self.slowness
        self.arbiter.settle(name, tokens_in, tokens_out, self.now, measured_s=took, whole=whole)
        self.ends[name] += 1

    def run(self, seconds):
        until = self.now + seconds
        while self.now < until - 1e-9:
            if not self.left:
                self.now = until
                self.send()
                continue
            step = min(min(self.left.values()) * len(self.left), until - self.now)
            self.now += step
            for name in list(self.left):
                part = step / len(self.left)
                self.done[self.shapes[name][0]] += part
                self.left[name] -= part
            for name in [name for name, left in self.left.items() if left <= 1e-9]:
                self.arbiter.first(name, self.now)
                self.end(name)
            self.send()

    def drain(self):
        while self.left:
            self.run(100.0)
        assert not self.waiting
        assert self.arbiter.in_flight == self.arbiter.waiting == 0


EVENTS = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 3), SHAPES, SAID, st.sampled_from(Priority), st.integers(0, 4)),
    st.tuples(st.just("slow"), st.floats(0.0, 30.0)),
    st.tuples(st.just("run"), st.floats(0.001, 3.0)),
    st.tuples(st.just("cancel"), st.integers(0, 200)),
    st.tuples(st.just("first"), st.integers(0, 200)),
    st.tuples(st.just("progress"), st.integers(0, 200), st.integers(0, 900)),
    st.tuples(st.just("die"), st.integers(0, 200)),
    st.tuples(st.just("share"), st.integers(0, 3), st.floats(0.0, 0.2)),
    st.tuples(st.just("remove"), st.integers(0, 3)),
)


def happen(device, event):
    kind, *rest = event
    here = [key for key in KEYS if key in device.arbiter.tenants]
    if kind == "run":
        device.run(rest[0])
    elif kind == "ask" and here:
        which, shape, most, priority, user = rest
        device.ask(here[which % len(here)], shape, most=most, priority=priority, user=str(user))
    elif kind == "slow":
        device.slowness = rest[0]
    elif kind == "share" and here:
        device.arbiter.set_tenant(here[rest[0] % len(here)], "m", TERMS, rest[1], device.now)
        device.send()
    elif kind == "remove" and len(here) > 1:
        device.arbiter.remove_tenant(here[rest[0] % len(here)])
    elif kind == "cancel" and device.shapes:
        device.cancel(f"r{rest[0] % len(device.shapes)}")
    elif device.left and kind in {"first", "progress", "die"}:
        name = list(device.left)[rest[0] % len(device.left)]
        if kind == "first":
            device.arbiter.first(name, device.now)
        elif kind == "progress":
            assert device.arbiter.progress(name, rest[1], device.now) >= min(rest[1], 1)
        else:
            device.end(name, whole=False)
            device.send()


@settings(max_examples=SCHEDULES, deadline=None)
@given(SHARES, st.lists(EVENTS, max_size=80))
def test_whatever_happens_every_request_ends_once_and_no_device_idles_while_work_waits(shares, events):
    device = Device(shares)
    for event in events:
        happen(device, event)
    device.drain()
    assert set(device.ends) == set(device.shapes)
    assert set(device.ends.values()) <= {1}
    arbiter = device.arbiter
    assert not arbiter._tickets
    assert not arbiter._prefilling
    assert set(arbiter.flying.values()) <= {0.0}
    assert all(tenant.waiting_s == 0 for tenant in arbiter.tenants.values())


def always_ask(device, wishes, completions):
    """Whoever is in `wishes` always has something waiting; yields after each of so many requests that ended."""
    while completions:
        for key, wish in wishes.items():
            while device.arbiter.tenants[key].waiting < PLACES:
                if isinstance(device.ask(key, **wish)[1], Refused):
                    break
        before = len(device.ends)
        device.run(min(device.left.values()) * len(device.left))
        completions -= len(device.ends) > before
        yield


@settings(max_examples=SCHEDULES, deadline=None)
@given(SHARES, st.lists(SHAPES, min_size=4, max_size=4), SAID)
def test_who_always_asks_lags_two_residences_and_three_requests_and_what_is_in_flight(shares, shapes, most):
    """At most, at its share, of a discipline that does not preempt.

    What is in flight counts twice: places are filled once more before the first answers tell how long they are.
    """
    device = Device(shares, FEW)
    wishes = {key: {"shape": shape, "most": most} for key, shape, _ in zip(KEYS, shapes, shares, strict=False)}
    for _ in always_ask(device, wishes, 60):
        for key, share in zip(KEYS, shares, strict=False):
            lag = share * device.now - device.done[key]
            assert lag <= 2 * TERMS.residence_s + 3 * device.longest + 2 * share * device.most_held


@settings(max_examples=SCHEDULES, deadline=None)
@given(SHARES, st.tuples(st.integers(1, LONGEST[0]), st.integers(1, 256)), st.integers(0, 1000))
def test_nobody_within_the_allotment_is_refused(shares, shape, seed):
    """Requests spaced by what they cost at the share that was bought, beside others that flood the device."""
    device, draw = Device(shares), random.Random(seed)
    gap = COST.seconds(*shape) / shares[0] * 1.001
    for number in range(6):
        for key in KEYS[1 : len(shares)]:
            for _ in range(3):
                device.ask(key, (draw.randrange(1, LONGEST[0]), draw.randrange(1, LONGEST[1])))
        _, answer = device.ask("a", shape)
        assert isinstance(answer, Admitted)
        assert answer.within or number == 0
        device.run(gap)


@settings(max_examples=SCHEDULES, deadline=None)
@given(st.lists(SHAPES, min_size=3, max_size=3), st.sampled_from([Priority.SHARED, Priority.BATCH]), SAID)
def test_within_a_class_nobody_starves(shapes, priority, most):
    """Three who always ask, with requests of any size: the device's time is divided as it should be."""
    device = Device([0.0, 0.0, 0.0], FEW)
    keys = KEYS[:3]
    wishes = {
        key: {"shape": shape, "most": most, "priority": priority, "user": key}
        for key, shape in zip(keys, shapes, strict=True)
    }
    for _ in always_ask(device, wishes, 60):
        least = min(device.done[key] for key in keys)
        assert least >= (device.now - device.most_held) / 3 - TERMS.residence_s - 3 * device.longest


@settings(max_examples=SCHEDULES, deadline=None)
@given(SHARES, SHAPES, SHAPES, SAID)
def test_who_waits_is_sent_though_others_always_ask(shares, own, other, most):
    """One request of one endpoint beside all others': it is sent before what they do in its time at its share."""
    device = Device(shares)
    for key in KEYS[1 : len(shares)]:
        for _ in range(8):
            device.ask(key, other, most=most)
    name, _ = device.ask("a", own, most=most)
    bound = (COST.seconds(*own) + device.longest) / shares[0] + 2 * TERMS.residence_s + 8 * device.longest
    while name in device.waiting:
        assert device.now <= bound
        for key in KEYS[1 : len(shares)]:
            device.ask(key, other, most=most)
        device.run(0.5)


@settings(max_examples=SCHEDULES, deadline=None)
@given(SHARES, st.lists(st.tuples(st.integers(0, 3), SHAPES, st.sampled_from(Priority)), min_size=5, max_size=40))
def test_reserved_goes_before_shared_and_shared_before_batches(shares, asks):
    device = Device(shares)
    for number in range(12):
        device.ask(KEYS[number % len(shares)], (2048, 256))
    for which, shape, priority in asks:
        device.ask(KEYS[which % len(shares)], shape, priority=priority, user=str(which))
    device.order.clear()
    priorities = {name: ticket.flow.priority for name, ticket in device.arbiter._tickets.items()}
    device.drain()
    sent = [priorities[grant.request_id] for grant in device.order]
    assert sent == sorted(sent)
    assert all(
        grant.lane is Lane.LENT for grant in device.order if priorities[grant.request_id] is not Priority.RESERVED
    )
