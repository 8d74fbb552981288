"""One device, many endpoints: which request is admitted, and which goes next. Pure: time is given, nothing is awaited.

The currency is device seconds. Two criteria pick the next request, after hierarchical fair service curves: an endpoint
below the rate that it bought goes through a real-time lane, by deadline, with up to 2.5 times the knee in flight; what
is left is lent by start-time fair queueing with shares as weights, up to the knee. Shared traffic and then batches come
after all reserved requests. In flight is counted in reference sequences: short requests do not strand the device.

Estimates are made with the running mean of an endpoint's answers, charged ahead when an answer outgrows its estimate,
and settled with what was really used; nothing is banked, so that who comes back gets its share at once and no more.
What was bought is counted by the model's tariff, in which it was sold, and what is lent by what it really took.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from penstock.domain import decision
from penstock.domain.measured import Measured
from penstock.domain.service_order import ServiceOrder
from penstock.domain.tenancy import Flow, HeldBy, Lane, Priority, Tenant, Terms, Ticket

HARD_FACTOR = 2.5
"""The real-time lane may fill the device up to so many times the knee."""
HARD_PREFILL = 8.0
"""And have so many times as much work on prompts in the engine, which takes them in the order of their patience."""
MOST_PATIENCE_S = 1.0
"""In the real-time lane. It is what a request takes at its endpoint's rate: short ones need not wait for long ones."""
LENT_PATIENCE_S = {Priority.RESERVED: 2.0, Priority.SHARED: 4.0, Priority.BATCH: 8.0}
QUEUE_S = 15.0
QUEUE_REQUESTS = 8
QUEUE_RESIDENCES = 4
LOW_QUEUE = 256
"""Requests of one user, or of one endpoint's batches, that may wait in the lower classes."""
OVERRUN = 1.5
OVERRUN_TOKENS = 16
OVERDUE = 3.0
"""A first token that was not told is taken to have come after so many times the work before it."""
_TINY = 1e-9
_LONGEST_RETRY_S = 3600


class Admitted(NamedTuple):
    """The request waits for its turn, or needs none. `within`: it is part of what was bought. `seconds`: estimated.

    `ahead` requests of its own endpoint and class wait already.
    """

    within: bool
    seconds: float
    ahead: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Come back after `retry_after_s` whole seconds: a time of one's own, not the same instant for everybody.

    `reason` is for the caller, `decision` for the ledger.
    """

    retry_after_s: int
    seconds: float
    reason: str
    decision: str


class Grant(NamedTuple):
    """Send this request now. `held_by` is what it waited for, if it waited.

    `patience_s`: of prompts that are not computed yet, the engine is to go on with the one whose patience ends first.
    """

    request_id: str
    tenant: str
    lane: Lane
    patience_s: float
    held_by: HeldBy


class Arbiter:
    """The state of one device. Every request that was admitted is settled or cancelled exactly once."""

    def __init__(self) -> None:
        self.tenants: dict[str, Tenant] = {}
        self.flying: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._held: dict[str, float] = {}
        self._tickets: dict[str, Ticket] = {}
        self._order = ServiceOrder()
        self._prefilling: dict[str, Ticket] = {}
        self._prefill_s = 0.0
        self._overdue_at = self._due_at = math.inf
        self._stirred = False
        self._measured = Measured()

    # ---- who is here

    def set_tenant(self, key: str, model: str, terms: Terms, share: float, now: float) -> None:
        """Adds an endpoint, or changes its share or its model's terms at once."""
        self.flying.setdefault(model, 0.0)
        self._counts.setdefault(model, 0)
        self._held.setdefault(model, 0.0)
        self._stirred = True
        tenant = self.tenants.get(key)
        if tenant is None:
            self.tenants[key] = Tenant(key, model, terms, share, now)
            return
        before = tenant.model
        tenant.change(model, terms, share, now)
        for flow in tenant.flows.values():
            self._order.push(flow, now)
        if before != model:
            self._forget_models()

    def remove_tenant(self, key: str) -> None:
        """Forgets an endpoint. What it has waiting or in flight may still be cancelled and settled."""
        self.tenants.pop(key, None)
        self._forget_models()

    def _forget_models(self) -> None:
        """Models that nobody has any more, and that nothing waits for: each costs every decision a look."""
        kept = {tenant.model for tenant in self.tenants.values()}
        for model in [one for one, count in self._counts.items() if not count and one not in kept]:
            if self._order.forget(model):
                del self.flying[model], self._counts[model], self._held[model]

    @property
    def sold(self) -> float:
        """The sum of all shares."""
        return sum(tenant.share for tenant in self.tenants.values())

    @property
    def in_flight(self) -> int:
        """Requests that are with an engine."""
        return sum(self._counts.values())

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._tickets) - self.in_flight

    # ---- the life of a request

    def arrive(
        self,
        request_id: str,
        key: str,
        tokens_in: int,
        most_out: int,
        now: float,
        *,
        prompts: int = 1,
        priority: Priority = Priority.RESERVED,
        user: str = "",
        owed: bool = False,
        claim: Callable[[], int] | None = None,
    ) -> Admitted | Refused:
        """Admits a request, or refuses it; raises KeyError for an endpoint that is not here.

        Tokens are those of all its `prompts`.
        `owed`: it was admitted before and lost its place through no fault of its own, so it is not refused now.
        `claim` tells by what a caller that was refused is known when it comes back at the time that it was told: then
        its request is part of what was bought. It is asked only when that matters.
        """
        tenant = self.tenants[key]
        flow = tenant.flow(priority, user)
        ticket = Ticket(request_id, flow, tokens_in, most_out, prompts)
        seconds = ticket.charged
        if priority is Priority.RESERVED:
            tenant.expect(seconds, now)
            back = claim is not None and bool(tenant.returns) and tenant.returns.take(claim(), now)
            ticket.within = tenant.share > 0 and (back or tenant.arrivals >= min(seconds, tenant.depth) - _TINY)
        if ticket.within:
            tenant.arrivals -= seconds
        elif not owed and self._is_full(flow, seconds):
            return self._refusal(flow, seconds, now, claim)
        self._tickets[request_id] = ticket
        flow.add(ticket)
        if flow.waiting == 1:
            self._stirred = True
            self._order.join(flow, now)
        return Admitted(ticket.within, seconds, flow.waiting - 1)

    def dispatch(self, now: float) -> list[Grant]:
        """The requests to send now, in order. Costs nothing where neither anything happened nor anything is due."""
        if now >= self._overdue_at:
            self._expire(now)
        if not self._stirred and now < self._due_at:
            return []
        order, sent = self._order, list[Grant]()
        while True:
            flow = order.due(now, self._has_room_when_due)
            if flow is not None:
                sent.append(self._send(flow, Lane.GUARANTEED, now))
                continue
            flow = order.next(self._has_room)
            if flow is None:
                self._stirred, self._due_at = False, order.next_due(now)
                return sent
            sent.append(self._send(flow, Lane.LENT, now))

    def first(self, request_id: str, now: float) -> None:  # noqa: ARG002 - time is part of every event
        """The first token has come: the prompt is computed."""
        self._prefilled(self._prefilling.pop(request_id, None))

    def progress(self, request_id: str, tokens_out: int, now: float) -> float:
        """An answer has so many tokens; returns the number at which to tell again. Charged ahead when it outgrows."""
        ticket = self._tickets[request_id]
        if tokens_out > ticket.out:
            before = ticket.out
            ticket.out = min(float(max(ticket.most_out, tokens_out)), tokens_out * OVERRUN + OVERRUN_TOKENS)
            ticket.held += ticket.out - before
            self._held[ticket.model] += ticket.out - before
            self._charge(ticket, ticket.seconds, now)
        return ticket.out

    def settle(
        self,
        request_id: str,
        tokens_in: int,
        tokens_out: int,
        now: float,
        *,
        cached: int = 0,
        measured_s: float = 0.0,
        whole: bool = True,
    ) -> float:
        """A request that was sent has ended: charges what it used, and returns what that should take of the device.

        `measured_s` is what its engine says that it took, 0 if it does not tell (`penstock.domain.measured`). `whole`:
        the answer came to its end, so that its length says what others may have.
        """
        ticket = self._tickets.pop(request_id)
        self._prefilled(self._prefilling.pop(request_id, None))
        tenant = ticket.flow.tenant
        self._land(ticket)
        used = tenant.terms.used_s(tokens_in, tokens_out, cached, ticket.prompts)
        took = self._measured.charge(used, measured_s)
        self._charge(ticket, tenant.by_tariff(used, took), now, took)
        if whole:
            tenant.learn(tokens_out / ticket.prompts)
        self._sweep(ticket.flow)
        return used

    def cancel(self, request_id: str, now: float) -> None:
        """A request that waits is not wanted any more: it costs nothing. Safe to repeat."""
        ticket = self._tickets.get(request_id)
        if ticket is None or ticket.lane is not None:
            return
        del self._tickets[request_id]
        flow = ticket.flow
        was_head = flow.head() is ticket
        ticket.withdrawn = True
        flow.leave(ticket)
        if ticket.within:
            flow.tenant.fill(now)
            flow.tenant.arrivals = min(flow.tenant.depth, flow.tenant.arrivals + ticket.charged)
        if was_head:
            self._stirred = True
            self._order.push(flow, now)
        self._sweep(flow)

    def wake(self, now: float) -> float | None:
        """When to dispatch again though nothing happens: a request becomes due, or a first token is overdue."""
        at = self._order.next_due(now) if self._stirred or now >= self._due_at else self._due_at
        if self._prefilling and now < self._overdue_at < at:
            at = self._overdue_at
        return at if at < math.inf else None

    def wait_s(self, key: str) -> float:
        """How long one more request of the endpoint would wait, about: until its rate has worked off what waits."""
        tenant = self.tenants[key]
        seconds = tenant.waiting_s
        return seconds / max(tenant.share, 1 / max(len(self.tenants), 1)) if seconds else 0.0

    # ---- admission

    def _is_full(self, flow: Flow, seconds: float) -> bool:
        tenant, terms = flow.tenant, flow.tenant.terms
        if flow.priority is not Priority.RESERVED:
            return flow.waiting >= LOW_QUEUE
        if self.flying[tenant.model] < terms.knee and not self.waiting:
            return False
        most = max(
            QUEUE_S * tenant.share, QUEUE_REQUESTS * seconds, QUEUE_RESIDENCES * terms.residence_s * tenant.share
        )
        return flow.waiting_s + seconds > most

    def _refusal(self, flow: Flow, seconds: float, now: float, claim: Callable[[], int] | None) -> Refused:
        tenant = flow.tenant
        rate = max(tenant.share, 0.01)
        room = (min(seconds, tenant.depth) - tenant.arrivals) / rate
        reserved = flow.priority is Priority.RESERVED
        at = now + (max(room, 0.05) if reserved else flow.waiting_s)
        at = tenant.returns.place(claim() if reserved and claim is not None else None, at, seconds / rate, now)
        wait = min(max(math.ceil(at - now), 1), _LONGEST_RETRY_S)
        tokens = flow.waiting_s * tenant.terms.throughput
        return Refused(
            wait,
            seconds,
            f"{flow.waiting} requests worth {tokens:,.0f} reference tokens wait already",
            decision.refused(decision.standing(flow.priority, within=False), flow.waiting, tokens, wait),
        )

    # ---- order of service

    def _has_room_when_due(self, flow: Flow) -> bool:
        return self._has_room(flow, HARD_FACTOR, HARD_PREFILL)

    def _has_room(self, flow: Flow, factor: float = 1.0, prompts: float = 1.0) -> bool:
        head, tenant = flow.queue[0], flow.tenant
        terms, model = tenant.terms, tenant.model
        count = self._counts[model]
        if not count and not self._prefilling:
            return True
        if terms.running and count >= terms.running:
            head.held_by = HeldBy.ENGINE
        elif count and terms.kv_tokens and self._held[model] + head.tokens_in + head.out > terms.kv_tokens:
            head.held_by = HeldBy.MEMORY
        elif self.flying[model] >= factor * terms.knee:
            head.held_by = HeldBy.BATCH
        elif self._prefilling and self._prefill_s + head.prefill_s > prompts * terms.prompts_s:
            head.held_by = HeldBy.PROMPTS
        else:
            return True
        return False

    def _send(self, flow: Flow, lane: Lane, now: float) -> Grant:
        ticket = flow.queue.popleft()
        tenant, charged = flow.tenant, ticket.charged
        terms, model = tenant.terms, tenant.model
        flow.leave(ticket)
        ticket.lane, ticket.model = lane, model
        tenant.fill(now)
        if lane is Lane.GUARANTEED:
            tenant.service -= charged
            patience = min(charged / tenant.share, MOST_PATIENCE_S)
        else:
            patience = LENT_PATIENCE_S[flow.priority]
            if tenant.service > 0:
                # What is lent may use up credit, but never makes a debt.
                tenant.service = max(0.0, tenant.service - charged)
        self._order.served(flow, charged, lane)
        self._prefill_s += ticket.prefill_s
        ticket.expected_first = now + OVERDUE * self._prefill_s
        self._overdue_at = min(self._overdue_at, ticket.expected_first)
        self._prefilling[ticket.request_id] = ticket
        ticket.slot = terms.slot(ticket.tokens_in, ticket.out, ticket.prompts)
        self.flying[model] += ticket.slot
        self._counts[model] += 1
        ticket.held = ticket.tokens_in + ticket.out
        self._held[model] += ticket.held
        self._order.push(flow, now)
        return Grant(ticket.request_id, tenant.key, lane, patience, ticket.held_by)

    def _land(self, ticket: Ticket) -> None:
        model = ticket.model
        self._stirred = True
        self._counts[model] -= 1
        some = self._counts[model] > 0
        self._held[model] = self._held[model] - ticket.held if some else 0.0
        self.flying[model] = self.flying[model] - ticket.slot if some else 0.0

    def _charge(self, ticket: Ticket, seconds: float, now: float, took: float | None = None) -> None:
        """Brings what a request in flight was charged to `seconds`; of what is lent, to what it `took`, if known."""
        flow, more = ticket.flow, seconds - ticket.charged
        lent = more if took is None else took - ticket.charged
        tenant = flow.tenant
        ticket.charged = seconds
        tenant.fill(now)
        if ticket.within:
            tenant.arrivals = min(tenant.depth, tenant.arrivals - more)
        if ticket.lane is Lane.GUARANTEED:
            tenant.service = min(tenant.depth, tenant.service - more)
        flow.start += lent / flow.weight
        self._stirred = True
        self._order.push(flow, now)

    def _expire(self, now: float) -> None:
        """Answers that are not streamed do not tell their first token: it is taken to have come when it was due."""
        for ticket in list(self._prefilling.values()):
            if ticket.expected_first <= now:
                self._prefilled(self._prefilling.pop(ticket.request_id))
        self._overdue_at = min((ticket.expected_first for ticket in self._prefilling.values()), default=math.inf)

    def _prefilled(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            self._stirred = True
            self._prefill_s = self._prefill_s - ticket.prefill_s if self._prefilling else 0.0

    def _sweep(self, flow: Flow) -> None:
        """Flows of users and batches are forgotten when they are empty and nothing of theirs is ahead of its turn."""
        if not flow.waiting and flow.priority is not Priority.RESERVED and self._order.is_past(flow):
            flow.tenant.flows.pop(flow.key, None)
