"""What always holds at a device's arbiter, whatever happens: random schedules in virtual time."""

import random
from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.fairness import Admitted, Arbiter, Refused
from penstock.domain.profile import CostModel
from penstock.domain.tenancy import Lane, Priority, Terms

COST = CostModel(c=0.0086, a=7.45e-5, e=1.3e-8, b=2.56e-4, d=6.0e-7)
TERMS = Terms(2304 / COST.seconds(2048, 256), 8, COST, fixed_s=0.0005, running=32)
KEYS = ("a", "b", "c", "d")
SHAPES = st.tuples(st.integers(1, 4000), st.integers(1, 400))
LARGE = st.tuples(st.integers(512, 4000), st.integers(1, 256))
SHARES = st.lists(st.integers(1, 10), min_size=2, max_size=4).map(
    lambda parts: [0.9 * part / sum(parts) for part in parts]
)


class Device:
    """Works off what the arbiter sends, evenly shared, and checks every answer as it comes."""

    def __init__(self, shares):
        self.arbiter, self.now = Arbiter(), 0.0
        for key, share in zip(KEYS, shares, strict=False):
            self.arbiter.set_tenant(key, "m", TERMS, share, 0.0)
        self.shapes, self.waiting, self.left = {}, {}, {}
        self.ends, self.done = Counter(), defaultdict(float)
        self.order = []

    def ask(self, key, shape, *, most=0, priority=Priority.RESERVED, user=""):
        name = f"r{len(self.shapes)}"
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

    def end(self, name):
        _, tokens_in, tokens_out = self.shapes[name]
        del self.left[name]
        self.arbiter.settle(name, tokens_in, tokens_out, self.now)
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
    st.tuples(st.just("ask"), st.integers(0, 3), SHAPES, st.sampled_from(Priority), st.integers(0, 4)),
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
        which, shape, priority, user = rest
        device.ask(here[which % len(here)], shape, most=4096, priority=priority, user=str(user))
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
            device.end(name)
            device.send()


@settings(max_examples=300, deadline=None)
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


@settings(max_examples=60, deadline=None)
@given(SHARES, st.lists(LARGE, min_size=4, max_size=4), st.integers(0, 1000))
def test_who_always_asks_never_lags_more_than_two_residences_and_a_request(shares, shapes, seed):
    device, draw = Device(shares), random.Random(seed)
    keys = KEYS[: len(shares)]
    costs = {key: COST.seconds(*shape) for key, shape in zip(keys, shapes, strict=False)}
    while device.now < 40:
        for key, shape in zip(keys, shapes, strict=False):
            while device.arbiter.tenants[key].waiting < 4:
                if isinstance(device.ask(key, shape)[1], Refused):
                    break
        device.run(draw.uniform(0.1, 0.3))
        for key, share in zip(keys, shares, strict=False):
            lag = share * device.now - device.done[key]
            assert lag <= 2 * TERMS.residence_s + 2 * max(costs.values())


@settings(max_examples=60, deadline=None)
@given(SHARES, LARGE, st.integers(0, 1000))
def test_nobody_within_the_allotment_is_refused(shares, shape, seed):
    """Requests spaced by what they cost at the share that was bought, beside others that flood the device."""
    device, draw = Device(shares), random.Random(seed)
    gap = COST.seconds(*shape) / shares[0] * 1.001
    for number in range(12):
        for key in KEYS[1 : len(shares)]:
            for _ in range(6):
                device.ask(key, (draw.randrange(1, 4000), draw.randrange(1, 400)))
        _, answer = device.ask("a", shape)
        assert isinstance(answer, Admitted)
        assert answer.within or number == 0
        device.run(gap)


@settings(max_examples=60, deadline=None)
@given(st.lists(LARGE, min_size=3, max_size=3), st.sampled_from([Priority.SHARED, Priority.BATCH]))
def test_within_a_class_nobody_starves(shapes, priority):
    """Three who always ask, with requests of any size: the device's time is divided as it should be."""
    device = Device([0.0, 0.0, 0.0])
    for _ in range(150):
        for key, shape in zip(KEYS, shapes, strict=False):
            while device.arbiter.tenants[key].waiting < 4:
                device.ask(key, shape, priority=priority, user=key)
        device.run(0.2)
    least = min(device.done[key] for key in KEYS[:3])
    assert least >= device.now / 3 - TERMS.residence_s - 3 * max(COST.seconds(*shape) for shape in shapes)


@settings(max_examples=60, deadline=None)
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
