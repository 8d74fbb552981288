"""A day of traffic through the autoscaler's own decisions, second by second, beside an oracle that knows the future."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from penstock.domain.scaling import Decision, Policy, Sample, State, decide

LATE_S = 5.0
"""Work that meets a longer wait is late."""
SLOT_S = 10
"""The oracle chooses anew every so many seconds."""


@dataclass(frozen=True, slots=True)
class Sold:
    """What was bought: a band of `minimum` to `maximum` chunks of `chunk` tokens/s; one more takes `startup_s`."""

    chunk: float
    minimum: int
    maximum: int
    startup_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """A change: at `at` seconds, from `old` to `new` chunks."""

    at: int
    old: int
    new: int
    reason: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of it. `held` and `oracle` are chunks in each second, `steps` the changes.

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


def replay(demand: Sequence[float], policy: Policy, sold: Sold) -> Replay:
    """Replays `demand`, reference tokens that arrive in each second; a chunk that starts is paid for from the start."""
    held, ready, steps, late = _follow(demand, policy, sold)
    oracle = _oracle(demand, sold)
    over = sum(max(ours - best, 0) for ours, best in zip(held, oracle, strict=True)) / 60
    under = sum(max(best - able, 0) for able, best in zip(ready, oracle, strict=True)) / 60
    ratio = sum(held) / sum(oracle) if sum(oracle) else 0.0
    return Replay(tuple(held), tuple(oracle), tuple(steps), over, under, late, ratio)


def _follow(demand: Sequence[float], policy: Policy, sold: Sold) -> tuple[list[int], list[int], list[Step], float]:
    """Chunks that were held and that were ready in each second, the changes, and the part of work that was late."""
    state = State(sold.minimum * sold.chunk, sold.minimum * sold.chunk, sold.maximum * sold.chunk, sold.chunk, 0.0)
    state = replace(state, free=state.maximum, startup_s=sold.startup_s)
    samples: deque[Sample] = deque()
    started: deque[tuple[float, int]] = deque()
    held, ready, steps = [], [], []
    able, arrived, backlog, late, asked_at = sold.minimum, 0.0, 0.0, 0.0, 0
    for now, tokens in enumerate(demand):
        while started and started[0][0] <= now:
            able = min(started.popleft()[1], state.held)
        arrived += tokens
        backlog += tokens
        late += tokens if backlog > LATE_S * able * sold.chunk else 0.0
        backlog -= min(backlog, able * sold.chunk)
        asked_at = now if tokens or backlog else asked_at
        samples.append(Sample(float(now), arrived, backlog))
        while len(samples) > 1 and samples[1].at <= now - policy.memory_s:
            samples.popleft()
        decision = decide(now, policy, replace(state, idle_s=float(now - asked_at)), samples)
        new = round(decision.allotment / sold.chunk)
        if new != state.held:
            steps.append(Step(now, state.held, new, decision.reason))
            if new > state.held:
                started.append((now + sold.startup_s, new))
            able = min(able, new)
        state = _after(state, decision)
        held.append(new)
        ready.append(able)
    return held, ready, steps, late / arrived if arrived else 0.0


def _after(state: State, decision: Decision) -> State:
    return replace(state, allotment=decision.allotment, wants=decision.wants)


def _oracle(demand: Sequence[float], sold: Sold) -> list[int]:
    """The fewest chunks in each slot that keep the wait within bounds, with foresight of the slot and no start-up."""
    backlog = 0.0
    chosen: list[int] = []
    for start in range(0, len(demand), SLOT_S):
        slot = demand[start : start + SLOT_S]
        for chunks in range(sold.minimum, sold.maximum + 1):
            left = _drained(slot, backlog, chunks * sold.chunk)
            if left is not None:
                break
        else:
            chunks = sold.maximum
            left = max(backlog + sum(slot) - chunks * sold.chunk * len(slot), 0.0)
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
