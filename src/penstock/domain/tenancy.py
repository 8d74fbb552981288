"""Who shares a device and what its models cost: the words in which `penstock.domain.fairness` decides."""

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from penstock.domain.profile import REFERENCE_INPUT, REFERENCE_OUTPUT, CostModel, Profile
from penstock.domain.returns import Returns

SMALLEST_SLOT = 0.1
LEAST_PREFILL_S = 0.25
NEW_REQUEST_OUT = 256
"""Tokens that an endpoint's answers are taken to have before the first one has ended."""
TARIFF_ERROR = 0.1
"""By so much a tenant's requests may take more or less than the tariff says: as much as is not sold of a device."""
OLD_COST = 0.95
"""Of the running mean of what requests took over what the tariff says, when a new one is counted."""
OLD_PART = 0.9
"""Of the running mean of answers, when a new one is counted."""
BURST_RESIDENCES = 0.5
BURST_REQUESTS = 3.0
"""A bucket holds so many mean requests at least: one that is smaller would refuse endpoints with small shares."""
CROWD_REQUESTS, CROWD_S = 12.0, 5.0
"""And so many if they are not worth more than so many seconds of its rate: whoever uses four fifths of it at random
times has that many at once every few minutes, and would wait for each at its own rate though others only borrow."""
IDLE_WEIGHT = 0.001
"""The weight of an endpoint that has nothing reserved: it still gets on when the device is idle."""


class Priority(IntEnum):
    """Classes of traffic, served in this order; within a class nobody starves."""

    RESERVED = 0
    SHARED = 1
    BATCH = 2


class Lane(StrEnum):
    """How a request came to the device: as part of what was bought, or in time that nobody needed."""

    GUARANTEED = "guaranteed"
    LENT = "lent"


class HeldBy(StrEnum):
    """What the request at the head of a queue waited for last."""

    TURN = "its turn"
    BATCH = "room in the batch"
    PROMPTS = "prompts before it to be computed"
    MEMORY = "room in the KV cache"
    ENGINE = "a place in the engine"


@dataclass(frozen=True, slots=True)
class Terms:
    """What requests to one model cost on its device.

    `throughput` is T in tokens per second, `knee` the reference requests in flight at which it is reached. `fixed_s`
    are the seconds of a step that all its sequences share (reading the weights). `running` requests with together
    `kv_tokens` tokens are what its engine holds at once, 0 being no limit. `tokens_in` and `tokens_out` are the
    reference request's. `reference_s` are its device seconds, `residence_s` how long one is in flight at the knee, and
    `prompts_s` the work on prompts that an engine is given at a time where it is lent.
    `burst` is how many residence times of its rate an endpoint may use at once.
    """

    throughput: float
    knee: int
    cost: CostModel
    fixed_s: float = 0.0
    running: int = 0
    kv_tokens: int = 0
    tokens_in: int = REFERENCE_INPUT
    tokens_out: int = REFERENCE_OUTPUT
    burst: float = BURST_RESIDENCES
    # Computed once: they are read many times for every request.
    reference_s: float = field(init=False, compare=False)
    residence_s: float = field(init=False, compare=False)
    prompts_s: float = field(init=False, compare=False)
    _own_s: float = field(init=False, compare=False, repr=False)
    _whole_s: float = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        own = max(self.cost.b - self.fixed_s / self.knee, 0.0)
        reference_s = (self.tokens_in + self.tokens_out) / self.throughput
        object.__setattr__(self, "reference_s", reference_s)
        object.__setattr__(self, "residence_s", self.knee * reference_s)
        object.__setattr__(self, "prompts_s", max(LEAST_PREFILL_S, reference_s / 2))
        object.__setattr__(self, "_own_s", own)
        object.__setattr__(self, "_whole_s", own + self.cost.d * (self.tokens_in + self.tokens_out / 2))

    def slot(self, tokens_in: float, tokens_out: float, prompts: int = 1) -> float:
        """How much of the batch a request takes, in reference sequences: a short one strands less of the device."""
        if self._whole_s <= 0:
            return 1.0
        own = self._own_s + self.cost.d * (tokens_in + tokens_out / 2) / prompts
        return prompts * max(SMALLEST_SLOT, own / self._whole_s)

    def out_after(self, seconds: float, tokens_in: float, in_flight: int, prompts: int = 1) -> float:
        """About how many tokens the answers have so many seconds after a request was sent.

        Each step takes what its sequences share and the own part of each, here as long as the request's own.
        """
        context = tokens_in / prompts
        step_s = self.fixed_s + max(in_flight, 1) * prompts * (self._own_s + self.cost.d * context)
        left_s = seconds - self.cost.seconds_of(prompts, tokens_in, 0)
        return prompts * left_s / step_s if left_s > 0 and step_s > 0 else 0.0

    def used_s(self, tokens_in: int, tokens_out: int, cached: int = 0, prompts: int = 1) -> float:
        """Device seconds of what was computed: tokens found in the prefix cache were not."""
        found = min(cached, tokens_in)
        saved = found * (self.cost.a + self.cost.e * found / prompts)
        return max(self.cost.seconds_of(prompts, tokens_in, tokens_out) - saved, 0.0)


def fixed_step_s(profile: Profile) -> float:
    """The shared seconds of a step, from the curve: 1/X(n) = alpha + beta/n requests per second, beta per token."""
    tokens = profile.input_tokens + profile.output_tokens
    ends = [point for point in profile.curve if point.parallel in {1, profile.knee} and point.tokens_per_s > 0]
    if len(ends) < 2 or not profile.output_tokens:  # noqa: PLR2004 - a line has two ends
        return 0.0
    low, high = tokens / ends[0].tokens_per_s, tokens / ends[-1].tokens_per_s
    return max((low - high) / (1 - 1 / profile.knee) / profile.output_tokens, 0.0)


@dataclass(frozen=True, slots=True)
class Sale:
    """What a served entity has bought, and what its model's requests cost.

    `model` is what runs (`ServedEntity.spec`). `minimum` and `maximum` are whole chunks in tokens per second; each
    `chunk` is `chunk_share` of a device's time.
    """

    model: str
    terms: Terms
    minimum: float
    maximum: float
    chunk: float
    chunk_share: float

    def share(self, tokens_per_s: float) -> float:
        """The share of a device's time that so many tokens per second take."""
        return tokens_per_s / self.chunk * self.chunk_share

    def tokens_per_s(self, share: float) -> float:
        """The tokens per second that a share gives."""
        return share / self.chunk_share * self.chunk


class Ticket:
    """One request from its arrival to its settlement.

    `charged` is what it has been charged, in device seconds, `prefill_s` those until its first token; `held` the tokens
    of KV cache that it is expected to fill. `model` is where it was sent.
    """

    __slots__ = (
        "charged",
        "expected_first",
        "flow",
        "held",
        "held_by",
        "lane",
        "model",
        "most_out",
        "out",
        "prefill_s",
        "prompts",
        "request_id",
        "slot",
        "tokens_in",
        "withdrawn",
        "within",
    )

    def __init__(self, request_id: str, flow: "Flow", tokens_in: int, most_out: int, prompts: int = 1) -> None:
        self.request_id = request_id
        self.flow = flow
        self.tokens_in = tokens_in
        self.most_out = most_out
        self.prompts = prompts
        tenant = flow.tenant
        self.out = tenant.likely_out(most_out, prompts)
        self.charged = self.seconds
        self.prefill_s = tenant.terms.cost.seconds_of(prompts, tokens_in, 0)
        self.slot = self.held = 0.0
        self.expected_first = -1.0
        self.lane: Lane | None = None
        self.held_by = HeldBy.TURN
        self.model = ""
        self.within = False
        self.withdrawn = False

    @property
    def seconds(self) -> float:
        """Device seconds that it is expected to take."""
        return self.flow.tenant.terms.cost.seconds_of(self.prompts, self.tokens_in, self.out)


class Tenant:
    """An endpoint on a device: its share, and two buckets of device seconds that fill at that rate.

    `arrivals` decides what is within the allotment and never refused, `service` what goes through the real-time lane.
    """

    __slots__ = (
        "answers",
        "arrivals",
        "cost_ratio",
        "depth",
        "filled_at",
        "flows",
        "key",
        "mean_out",
        "mean_s",
        "model",
        "returns",
        "service",
        "share",
        "terms",
    )

    def __init__(self, key: str, model: str, terms: Terms, share: float, now: float) -> None:
        self.key = key
        self.model = model
        self.terms = terms
        self.share = share
        self.arrivals = self.service = 0.0
        self.filled_at = now
        self.mean_out = self.mean_s = -1.0
        self.answers = 0
        self.cost_ratio = 1.0
        self.returns = Returns(now)
        self.flows: dict[tuple[Priority, str], Flow] = {}
        self._size()

    def change(self, model: str, terms: Terms, share: float, now: float) -> None:
        """Another share or other terms from now on: what has filled until now did so at the old rate."""
        self.fill(now)
        self.share, self.terms, self.model = share, terms, model
        self._size()

    def flow(self, priority: Priority, user: str) -> "Flow":
        """Where a request of that class waits; only pay-per-token tells users apart."""
        key = (priority, user if priority is Priority.SHARED else "")
        flow = self.flows.get(key)
        if flow is None:
            flow = self.flows[key] = Flow(key, self, priority)
        return flow

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return sum(flow.waiting for flow in self.flows.values())

    @property
    def waiting_s(self) -> float:
        """Device seconds of what waits, by its estimates."""
        return sum(flow.waiting_s for flow in self.flows.values())

    def likely_out(self, most: int, prompts: int = 1) -> float:
        """Tokens that answers are likely to have: the running mean, which `max_tokens` bounds and seldom tells."""
        return float(min(most, prompts * (NEW_REQUEST_OUT if self.mean_out < 0 else self.mean_out)))

    def fill(self, now: float) -> None:
        """Fills both buckets for the time that has passed."""
        passed = now - self.filled_at
        if passed <= 0:
            return
        self.filled_at = now
        more, depth = self.share * passed, self.depth
        # Compared and not `min`: this runs several times for every request.
        arrivals, service = self.arrivals + more, self.service + more
        self.arrivals = arrivals if arrivals < depth else depth  # noqa: FURB136
        self.service = service if service < depth else depth  # noqa: FURB136

    def expect(self, seconds: float, now: float) -> None:
        """Counts a request of that cost; a new endpoint starts with room for one."""
        if self.mean_s < 0:
            self.mean_s = self.arrivals = self.service = seconds
            self.filled_at = now
        else:
            self.mean_s = 0.95 * self.mean_s + 0.05 * seconds
            self.fill(now)
        self._size()

    def _size(self) -> None:
        """How deep the buckets are, in device seconds; what is above that is poured out."""
        residence = self.terms.burst * self.terms.residence_s * self.share
        crowd = min(CROWD_REQUESTS * self.mean_s, CROWD_S * self.share)
        self.depth = depth = max(residence, crowd, BURST_REQUESTS * self.mean_s)
        self.arrivals = min(self.arrivals, depth)
        self.service = min(self.service, depth)

    def by_tariff(self, used: float, took: float) -> float:
        """What is charged of what was bought: the tariff's seconds, in which it was sold, though it `took` others.

        Where this tenant's requests take much more or less throughout, the rest of the difference is charged too: else
        it would have of the others' time.
        """
        if used > 0:
            self.cost_ratio = OLD_COST * self.cost_ratio + (1 - OLD_COST) * took / used
        if self.cost_ratio > 1 + TARIFF_ERROR:
            return used * self.cost_ratio / (1 + TARIFF_ERROR)
        if self.cost_ratio < 1 - TARIFF_ERROR:
            return used * self.cost_ratio / (1 - TARIFF_ERROR)
        return used

    def learn(self, out: float) -> None:
        """Counts a whole answer's length."""
        self.answers += 1
        self.mean_out = float(out) if self.mean_out < 0 else OLD_PART * self.mean_out + (1 - OLD_PART) * out


class Flow:
    """A queue of one tenant in one class; of one user, where users are to share fairly. `start` is its next tag."""

    __slots__ = ("edition", "key", "priority", "queue", "start", "tenant", "waiting", "waiting_s")

    def __init__(self, key: tuple[Priority, str], tenant: Tenant, priority: Priority) -> None:
        self.key = key
        self.tenant = tenant
        self.priority = priority
        self.queue: deque[Ticket] = deque()
        self.waiting = 0
        self.waiting_s = 0.0
        self.start = 0.0
        self.edition = 0

    @property
    def weight(self) -> float:
        """In proportion to which time is lent: shares among endpoints, alike among users of a shared one."""
        return 1.0 if self.priority is Priority.SHARED else max(self.tenant.share, IDLE_WEIGHT)

    def head(self) -> Ticket | None:
        """The oldest request that still waits."""
        queue = self.queue
        while queue and queue[0].withdrawn:
            queue.popleft()
        return queue[0] if queue else None

    def add(self, ticket: Ticket) -> None:
        """A request begins to wait."""
        self.queue.append(ticket)
        self.waiting += 1
        self.waiting_s += ticket.charged

    def leave(self, ticket: Ticket) -> None:
        """A request waits no longer."""
        self.waiting -= 1
        self.waiting_s = self.waiting_s - ticket.charged if self.waiting else 0.0
