"""A day of traffic through the autoscaler's own rounds, second by second, beside an oracle that knows the future.

Requests are reference tokens here, which a replica works off at what is allotted to it: who waits for whom, and what is
lent, is the gate's matter and not looked at.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.domain.errors import InvalidParameter
from penstock.domain.scaling import Kind, Policy, Sample
from penstock.domain.scaling_room import Part
from penstock.domain.scaling_round import Memory, Standing, Verdict, look
from penstock.domain.throughput import SOLD_FRACTION

LATE_S = 5.0
"""Work that meets a longer wait is late."""
SLOT_S = 10
"""The oracle chooses anew every so many seconds."""


@dataclass(frozen=True, slots=True)
class Ground:
    """So many devices, each good for `slices` chunks of `chunk` tokens/s; a replica takes `startup_s` to start."""

    chunk: float
    slices: int
    devices: int = 1
    startup_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who bought a band of `minimum` to `maximum` chunks; `demand` is reference tokens that arrive in each second."""

    demand: Sequence[float]
    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Step:
    """A decision: at `at` seconds, from `old` to `new` chunks, on so many devices."""

    at: int
    old: int
    new: int
    devices: int
    reason: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of it. `held` and `oracle` are chunks in each second, `steps` the decisions.

    `over` and `under` are chunk-minutes above and below the oracle, `late` the part of the work that met a wait of more
    than 5 s, `cost_ratio` chunks paid for over those of the oracle.
    """

    held: tuple[int, ...]
    oracle: tuple[int, ...]
    steps: tuple[Step, ...]
    over: float
    under: float
    late: float
    cost_ratio: float


def replay(one: Holder, policy: Policy, ground: Ground, others: Sequence[Holder] = ()) -> Replay:
    """Replays a holder's demand beside that of others on the same devices; chunks that start are paid for.

    Raises InvalidParameter if the devices have no room for all minimums.
    """
    tenants = [_Tenant(holder) for holder in (one, *others)]
    _place(tenants, ground)
    mine, held, ready, steps = tenants[0], [], [], []
    for now in range(len(one.demand)):
        for tenant in tenants:
            tenant.pass_second(now, policy, ground)
        awake = [tenant for tenant in tenants if tenant.parts]
        verdicts = look(now, policy, [tenant.standing(now, ground) for tenant in awake])
        for tenant, verdict in zip(awake, verdicts, strict=True):
            if tenant is mine and verdict.changed:
                steps.append(_step(now, verdict, ground))
            tenant.settle(now, verdict, ground)
        ready.append(mine.chunks(ground))
        held.append(ready[-1] + mine.coming)
    oracle = _oracle(one, ground)
    over = sum(max(ours - best, 0) for ours, best in zip(held, oracle, strict=True)) / 60
    under = sum(max(best - able, 0) for able, best in zip(ready, oracle, strict=True)) / 60
    ratio = sum(held) / sum(oracle) if sum(oracle) else 0.0
    late = mine.late / mine.arrived if mine.arrived else 0.0
    return Replay(tuple(held), tuple(oracle), tuple(steps), over, under, late, ratio)


def _step(now: int, verdict: Verdict, ground: Ground) -> Step:
    old, new = round(verdict.before / ground.chunk), round(verdict.allotment / ground.chunk)
    return Step(now, old, new, len(verdict.devices), verdict.reason)


@dataclass(slots=True)
class _Tenant:
    """A holder in the course of time. `parts` has tokens per second by device, empty while it is scaled to zero."""

    holder: Holder
    floors: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    samples: deque[Sample] = field(default_factory=deque)
    memory: Memory = field(default_factory=Memory)
    arrived: float = 0.0
    backlog: float = 0.0
    late: float = 0.0
    asked_at: int = 0
    wakes_at: float = -1.0

    @property
    def coming(self) -> int:
        """Chunks that are kept for replicas that start."""
        return sum(reach.chunks for reach in self.memory.reaches.values() if not reach.ready)

    def chunks(self, ground: Ground) -> int:
        """Chunks that are allotted."""
        return round(sum(self.parts.values()) / ground.chunk)

    def pass_second(self, now: int, policy: Policy, ground: Ground) -> None:
        """Work comes and is done, and replicas become ready."""
        tokens = self.holder.demand[now] if now < len(self.holder.demand) else 0.0
        rate = sum(self.parts.values())
        self.arrived += tokens
        self.backlog += tokens
        self.late += tokens if self.backlog > LATE_S * rate else 0.0
        self.backlog -= min(self.backlog, rate)
        self.asked_at = now if tokens or self.backlog else self.asked_at
        self.samples.append(Sample(float(now), self.arrived, self.backlog))
        while len(self.samples) > 1 and self.samples[1].at <= now - policy.memory_s:
            self.samples.popleft()
        for name, reach in self.memory.reaches.items():
            if not reach.ready and reach.since + ground.startup_s <= now:
                self.parts.setdefault(name, 0.0)
        if not self.parts and self.backlog:
            self.wakes_at = now + ground.startup_s if self.wakes_at < 0 else self.wakes_at
            if self.wakes_at <= now:
                self.parts, self.wakes_at = dict(self.floors), -1.0

    def standing(self, now: int, ground: Ground) -> Standing:
        """How it stands before a round."""
        there = {*self.parts, *self.memory.reaches}
        return Standing(
            minimum=self.holder.minimum * ground.chunk,
            maximum=self.holder.maximum * ground.chunk,
            chunk=ground.chunk,
            chunk_share=SOLD_FRACTION / ground.slices,
            parts=tuple(Part(name, self.floors.get(name, 0.0), given) for name, given in self.parts.items()),
            samples=self.samples,
            idle_s=float(now - self.asked_at),
            startup_s=ground.startup_s,
            places={name: SOLD_FRACTION for name in _names(ground) if name not in there},
            memory=self.memory,
        )

    def settle(self, now: int, verdict: Verdict, ground: Ground) -> None:
        """Carries out what a round decided."""
        self.memory = verdict.memory
        kept = {name: given for name, given in verdict.parts.items() if name in self.floors or name in verdict.further}
        self.parts = {} if verdict.decision.kind is Kind.ZERO else kept
        if not ground.startup_s:
            for name in verdict.further:
                self.parts.setdefault(name, 0.0)
        self.asked_at = now if verdict.decision.kind is Kind.ZERO else self.asked_at


def _names(ground: Ground) -> list[str]:
    return [f"device {number}" for number in range(1, ground.devices + 1)]


def _place(tenants: Sequence[_Tenant], ground: Ground) -> None:
    """Gives minimums their chunks: on one device that has them, or on as few as will do; the others a place."""
    free = dict.fromkeys(_names(ground), ground.slices)
    for tenant in tenants:
        more = tenant.holder.minimum
        if more > sum(free.values()):
            raise InvalidParameter(
                f"The minimums need {sum(one.holder.minimum for one in tenants)} chunks, and {ground.devices} devices "
                f"have {ground.slices} each."
            )
        while more or not tenant.floors:
            enough = [name for name in free if free[name] >= more]
            name = enough[0] if enough else max(free, key=lambda one: free[one])
            chunks = min(more, free[name])
            tenant.floors[name] = chunks * ground.chunk
            free[name] -= chunks
            more -= chunks
        tenant.parts = dict(tenant.floors)


def _oracle(one: Holder, ground: Ground) -> list[int]:
    """The fewest chunks in each slot that keep the wait within bounds, with foresight of the slot and no start-up."""
    backlog, most = 0.0, min(one.maximum, ground.slices * ground.devices)
    chosen: list[int] = []
    for start in range(0, len(one.demand), SLOT_S):
        slot = one.demand[start : start + SLOT_S]
        for chunks in range(one.minimum, most + 1):
            left = _drained(slot, backlog, chunks * ground.chunk)
            if left is not None:
                break
        else:
            chunks = most
            left = max(backlog + sum(slot) - chunks * ground.chunk * len(slot), 0.0)
        backlog = left
        chosen += [chunks] * len(slot)
    return chosen


def _drained(slot: Sequence[float], backlog: float, rate: float) -> float | None:
    """The backlog after the slot, or None if somebody would have waited too long."""
    for tokens in slot:
        backlog = max(backlog + tokens - rate, 0.0)
        if backlog > LATE_S * rate:
            return None
    return backlog
