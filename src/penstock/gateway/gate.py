"""The gate: one arbiter for each device, through which every request to what was sold there goes.

Keeps the state and the time; `penstock.domain.fairness` decides. Hears of endpoints from the table, and of allotments
from the control plane (`penstock.ports.capacity.Capacity`).
"""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from penstock.domain import decision
from penstock.domain.fairness import Admitted, Arbiter, Grant, Refused
from penstock.domain.routing import EndpointRoute, EntityRoute
from penstock.domain.tenancy import Priority, Sale
from penstock.domain.throughput import SOLD_FRACTION
from penstock.domain.usage import Usage
from penstock.gateway.account import Account, floors_of
from penstock.gateway.call import Asked
from penstock.gateway.count import Counter, Size
from penstock.ports.capacity import Reading
from penstock.ports.clock import Clock

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to a served entity, as the gate needs it. `owed`: it was admitted before, and lost its replica.

    `body` is what came, by which a caller that was refused is known again.
    """

    endpoint_id: str
    entity: str
    ticket: str
    size: Size
    priority: Priority = Priority.RESERVED
    user: str = ""
    owed: bool = False
    body: bytes = b""

    def claim(self) -> int:
        """The same for the same user and body."""
        return hash((self.user, self.body))


class Turn:
    """One request at the gate: it waits until it is granted, and is ended once."""

    __slots__ = ("account", "admitted", "device", "ended", "future", "grant", "priority", "since", "ticket", "told")

    def __init__(self, account: Account, device: "_Device", asked: Ask, admitted: Admitted, since: float) -> None:
        self.account = account
        self.device = device
        self.ticket = asked.ticket
        self.priority = asked.priority
        self.admitted = admitted
        self.since = since
        self.future: asyncio.Future[tuple[Grant, float] | None] = asyncio.get_running_loop().create_future()
        self.grant: Grant | None = None
        self.told = 0.0
        self.ended = False

    @property
    def sale(self) -> Sale:
        """On what terms."""
        return self.account.sale

    @property
    def decision(self) -> str:
        """What was decided until now."""
        where, ahead = decision.standing(self.priority, within=self.admitted.within), self.admitted.ahead
        sent = self.future.result() if self.future.done() else None
        if sent is None:
            return decision.waits(where, ahead)
        return decision.sent(where, sent[0].lane, sent[1] - self.since, ahead, sent[0].held_by)


@dataclass(slots=True)
class _Device:
    name: str
    arbiter: Arbiter = field(default_factory=Arbiter)
    turns: dict[str, Turn] = field(default_factory=dict)
    timer: asyncio.Task[None] | None = None
    wakes_at: float = 0.0


class Gate:
    """Admits requests, and sends each when its turn comes. Lives on one event loop."""

    def __init__(self, clock: Clock) -> None:
        self.counter = Counter()
        self._clock = clock
        self._devices: dict[str, _Device] = {}
        self._accounts: dict[tuple[str, str], Account] = {}
        self._tell: Callable[[], None] = lambda: None
        self._closed = False

    def close(self) -> None:
        """Nobody is woken any more: what still waits ends with its client."""
        self._closed = True
        for device in self._devices.values():
            if device.timer is not None:
                device.timer.cancel()

    # ---- what is sold

    def publish(self, endpoint: EndpointRoute) -> None:
        """Takes over what the endpoint's served entities have bought; the allotment stays within the new band."""
        kept = {entity.name for entity in endpoint.entities if entity.sale is not None}
        for key in [key for key in self._accounts if key[0] == endpoint.id and key[1] not in kept]:
            self._remove(self._accounts.pop(key))
        self.counter.forget(endpoint.id, {entity.name for entity in endpoint.entities})
        for entity in endpoint.entities:
            if entity.sale is not None:
                self._set(endpoint.id, entity, entity.sale)

    def withdraw(self, endpoint_id: str) -> None:
        """The endpoint is gone, and so is what waits for it."""
        for key in [key for key in self._accounts if key[0] == endpoint_id]:
            self._remove(self._accounts.pop(key))
        self.counter.forget(endpoint_id)

    def allot(self, endpoint_id: str, entity: str, parts: Mapping[str, float]) -> None:
        """See `penstock.ports.capacity.Capacity`. What others hold is not touched: only free time can be had."""
        account = self._accounts.get((endpoint_id, entity))
        if account is not None:
            account.take(parts, {name: self._sold(name, account) for name in account.devices})
            self._apply(account)

    def expect(self, endpoint_id: str, entity: str, ready_in_s: float, tokens_per_s: float) -> None:
        """See `penstock.ports.capacity.Capacity`."""
        account = self._accounts.get((endpoint_id, entity))
        if account is not None:
            account.more_at, account.more = self._clock.monotonic() + ready_in_s, tokens_per_s

    def on_excess(self, tell: Callable[[], None]) -> None:
        """`tell` is called whenever more is asked of a served entity than is allotted and less than its maximum."""
        self._tell = tell

    def readings(self) -> Sequence[Reading]:
        """See `penstock.ports.capacity.Capacity`."""
        return [self._reading(account) for _, account in sorted(self._accounts.items())]

    def _set(self, endpoint_id: str, entity: EntityRoute, sale: Sale) -> None:
        floors = floors_of(entity, sale)
        key = (endpoint_id, entity.name)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(endpoint_id, entity.name, sale, floors)
        gone = set(account.devices) - set(floors)
        account.settle(sale, floors)
        self._make_room(account)
        self._apply(account)
        for device in gone:
            self._leave(account, device)

    def _make_room(self, newest: Account) -> None:
        """A minimum that comes displaces what others were allotted above theirs."""
        for device in newest.devices:
            over = self._sold(device, None) - SOLD_FRACTION
            for account in self._accounts.values():
                if over > _ROUNDING and account.extra.get(device, 0.0) > 0:
                    over -= account.give_back(device, over)
                    self._apply(account)

    def _sold(self, device: str, but: Account | None) -> float:
        return sum(one.share(device) for one in self._accounts.values() if device in one.floors and one is not but)

    def _apply(self, account: Account) -> None:
        now = self._clock.monotonic()
        for name in account.devices:
            device = self._devices.setdefault(name, _Device(name))
            sale = account.sale
            device.arbiter.set_tenant(account.key, sale.model, sale.terms, account.share(name), now)
            self._pump(device)

    def _remove(self, account: Account) -> None:
        for device in account.devices:
            self._leave(account, device)

    def _leave(self, account: Account, name: str) -> None:
        """What waits on that device is sent away, to be asked for anew where there is somewhere else."""
        device = self._devices.get(name)
        if device is None:
            return
        now = self._clock.monotonic()
        for turn in [turn for turn in device.turns.values() if turn.account is account and not turn.future.done()]:
            device.arbiter.cancel(turn.ticket, now)
            turn.future.set_result(None)
        device.arbiter.remove_tenant(account.key)

    def _reading(self, account: Account) -> Reading:
        sale, ratio = account.sale, self.counter.ratio(account.endpoint_id, account.entity)
        waiting, backlog_s, wait_s, means, answers = 0, 0.0, [], [0.0], 0
        for name in account.devices:
            device = self._devices[name]
            tenant = device.arbiter.tenants[account.key]
            waiting += tenant.waiting
            backlog_s += tenant.waiting_s
            wait_s.append(device.arbiter.wait_s(account.key))
            means.append(tenant.mean_out)
            answers += tenant.answers
        return Reading(
            endpoint_id=account.endpoint_id,
            entity=account.entity,
            arrived=account.arrived,
            attained=account.attained,
            backlog=backlog_s * sale.terms.throughput,
            waiting=waiting,
            in_flight=account.turns - waiting,
            allotment=account.allotment,
            minimum=sale.minimum,
            maximum=sale.maximum,
            throughput=sale.terms.throughput,
            chunk=sale.chunk,
            predicted_wait_s=self._sooner(account, min(wait_s, default=0.0)),
            chunk_share=sale.chunk_share,
            parts=account.parts,
            mean_out=max(means),
            answers=answers,
            characters_per_token=ratio.characters,
            prompts=ratio.prompts,
        )

    # ---- requests

    def ask(self, asked: Ask) -> Turn | Refused | None:
        """A request comes: its turn, or why it is refused; None where nothing is sold."""
        account = self._accounts.get((asked.endpoint_id, asked.entity))
        if account is None:
            return None
        key, now = account.key, self._clock.monotonic()
        name = account.devices[0]
        if len(account.devices) > 1:
            arbiters = {one: self._devices[one].arbiter for one in account.devices}
            name = min(arbiters, key=lambda one: (arbiters[one].wait_s(key), arbiters[one].in_flight))
        device = self._devices[name]
        size = asked.size
        answer = device.arbiter.arrive(
            asked.ticket,
            key,
            size.tokens_in,
            size.most_out,
            now,
            prompts=size.prompts,
            priority=asked.priority,
            user=asked.user,
            owed=asked.owed,
            claim=asked.claim if asked.body else None,
        )
        if not asked.owed:
            account.arrived += answer.seconds * account.sale.terms.throughput
        above = isinstance(answer, Refused) or not answer.within
        if above and asked.priority is Priority.RESERVED and account.allotment < account.sale.maximum:
            self._tell()
        if isinstance(answer, Refused):
            return self._refused(account, answer, asked.priority)
        turn = device.turns[asked.ticket] = Turn(account, device, asked, answer, now)
        account.turns += 1
        self._pump(device)
        return turn

    def _refused(self, account: Account, answer: Refused, priority: Priority) -> Refused:
        if priority is Priority.SHARED:
            reason = f"Exceeded max number of parallel requests of one user: {answer.reason}."
            return replace(answer, reason=reason)
        limit = f"the allotted throughput of {account.allotment:,.0f} tokens/s (of at most {account.sale.maximum:,.0f})"
        reason, left = f"Exceeded {limit}: {answer.reason}", account.more_at - self._clock.monotonic()
        if account.more <= 0 or left <= 0:
            return replace(answer, reason=f"{reason}.")
        wait = max(math.ceil(self._sooner(account, answer.retry_after_s)), 1)
        reason += f"; another replica, of {account.more:,.0f} tokens/s, takes about {math.ceil(left)} s more to start."
        return replace(answer, retry_after_s=wait, reason=reason)

    def _sooner(self, account: Account, wait_s: float) -> float:
        """A wait at the present allotment, or shorter where another replica is ready before its end."""
        left = account.more_at - self._clock.monotonic()
        if account.more <= 0 or not 0 < left < wait_s:
            return wait_s
        return left + (wait_s - left) * account.allotment / (account.allotment + account.more)

    async def granted(self, turn: Turn) -> bool:
        """Returns when it is the request's turn; False if what it waited for is gone, and it must ask anew."""
        sent = turn.future.result() if turn.future.done() else await turn.future
        turn.grant = sent[0] if sent is not None else None
        return sent is not None

    def first(self, turn: Turn) -> None:
        """The first token has come."""
        turn.device.arbiter.first(turn.ticket, self._clock.monotonic())
        self._pump(turn.device)

    def progress(self, turn: Turn, tokens_out: int) -> None:
        """So many tokens have come. Cheap: an answer within its estimate changes nothing."""
        if tokens_out > turn.told and not turn.ended:
            turn.told = turn.device.arbiter.progress(turn.ticket, tokens_out, self._clock.monotonic())

    def out_after(self, turn: Turn, size: Size, seconds: float) -> int:
        """About how many tokens have come of the answers to a request that was sent so many seconds ago."""
        flying = turn.device.arbiter.in_flight
        found = turn.sale.terms.out_after(seconds, size.tokens_in, flying, size.prompts)
        return min(int(found), size.most_out)

    def end(self, turn: Turn, usage: Usage, *, whole: bool) -> None:
        """The request has ended, or is not wanted any more, and used this. Safe to repeat."""
        if turn.ended:
            return
        turn.ended = True
        turn.account.turns -= 1
        device, arbiter, now = turn.device, turn.device.arbiter, self._clock.monotonic()
        device.turns.pop(turn.ticket, None)
        if turn.future.done() and not turn.future.cancelled() and turn.future.result() is not None:
            seconds = arbiter.settle(
                turn.ticket,
                usage.prompt_tokens,
                usage.completion_tokens,
                now,
                cached=usage.cached_tokens,
                measured_s=usage.measured_s,
                whole=whole,
            )
            if usage.prompt_tokens:
                turn.account.attained += seconds * turn.sale.terms.throughput
        else:
            arbiter.cancel(turn.ticket, now)
        self._pump(device)

    def learn(self, turn: Turn, asked: Asked, usage: Usage) -> None:
        """Compares what a body looked like with what the engine counted; what is known of the deleted is not kept."""
        account = turn.account
        if self._accounts.get((account.endpoint_id, account.entity)) is account:
            self.counter.learn(account.endpoint_id, account.entity, asked, usage)

    def _pump(self, device: _Device) -> None:
        """Sends what may go now, and sees to it that nobody is forgotten."""
        now = self._clock.monotonic()
        for grant in device.arbiter.dispatch(now):
            future = device.turns[grant.request_id].future
            if future.done():
                # Its client has left in this very moment; `end` follows.
                device.arbiter.settle(grant.request_id, 0, 0, now, whole=False)
            else:
                future.set_result((grant, now))
        if device.arbiter.waiting and not self._closed:
            self._arm(device, now)

    def _arm(self, device: _Device, now: float) -> None:
        at = device.arbiter.wake(now)
        if at is None or (device.timer is not None and not device.timer.done() and device.wakes_at <= at):
            return
        if device.timer is not None:
            device.timer.cancel()
        device.wakes_at = at
        device.timer = asyncio.ensure_future(self._wake(device, at - now))

    async def _wake(self, device: _Device, seconds: float) -> None:
        await self._clock.sleep(seconds)
        device.timer = None
        self._pump(device)
