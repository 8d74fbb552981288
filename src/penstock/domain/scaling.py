"""How much an endpoint is allotted within its band: up at once, down after a while, in whole chunks, with a reason.

Demand is in reference tokens per second: what arrives, and the backlog that must drain. Two views of it are taken. The
mean of half a minute sets the allotment; the last ten seconds raise it by themselves only if they ask for so much more
that it is no noise. A decision depends on nothing but its arguments, so that a day can be replayed.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

_ROUNDING = 1e-9


class Kind(StrEnum):
    """What a decision does."""

    HELD = "held"
    UP = "up"
    DOWN = "down"
    BAND = "band"
    """The allotment was outside the band, or no whole chunks: the band or the chunk has changed."""
    ZERO = "zero"
    RECLAIMED = "reclaimed"
    """Taken back without less demand: a minimum came or was raised, or a replica was lost."""
    STARTED = "started"
    """A further replica is being started, or joined where it runs for others; the allotment may have changed too."""
    STOPPED = "stopped"
    """A further replica is no longer needed, or did not come; the allotment may have changed too."""
    DRIFTED = "drifted"
    """Nothing is changed, but the profile does not hold any more: requests take more or less than was measured."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How quickly the allotment follows demand.

    So much is allotted that demand takes `target` of it. Arrivals are averaged over `mean_s`; those of the last
    `burst_s` count by themselves where they ask for `burst_chunks` more than is allotted. A backlog is to be gone after
    `drain_s`. The allotment falls to the most that was wanted within `down_s`, or within `down_slow_s` where another
    chunk takes longer than `slow_start_s` to start. `idle_s` without requests take an entity with minimum 0 to zero.
    A further replica that is not ready `give_up_s` after it should have been is given up, and not tried again for as
    long.
    """

    target: float = 0.9
    burst_s: float = 10.0
    burst_chunks: int = 2
    mean_s: float = 30.0
    drain_s: float = 10.0
    down_s: float = 120.0
    down_slow_s: float = 300.0
    slow_start_s: float = 10.0
    idle_s: float = 1800.0
    give_up_s: float = 60.0

    def window_s(self, startup_s: float) -> float:
        """For how long the allotment stays up, in seconds, where a chunk takes `startup_s` to start."""
        return self.down_s if startup_s <= self.slow_start_s else self.down_slow_s

    @property
    def memory_s(self) -> float:
        """How far back samples are needed, in seconds."""
        return max(self.mean_s, self.burst_s)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at `at` (seconds of any steady clock): `arrived` counts up; `backlog` waits. Reference tokens."""

    at: float
    arrived: float
    backlog: float


@dataclass(frozen=True, slots=True)
class Want:
    """Chunks that were wanted at a moment."""

    at: float
    chunks: int


@dataclass(frozen=True, slots=True)
class State:
    """What is decided upon. `allotment`, `minimum`, `maximum`, `chunk` and `free` are tokens per second.

    `free` is what its devices, so many, could allot beyond the allotment; `startup_s` how long another chunk takes to
    start; `idle_s` how long nothing has been asked; `wants` is what the decision before gave.
    """

    allotment: float
    minimum: float
    maximum: float
    chunk: float
    free: float
    startup_s: float = 0.0
    idle_s: float = 0.0
    wants: tuple[Want, ...] = ()
    devices: int = 1

    def chunks(self, tokens_per_s: float) -> int:
        """Whole chunks that hold so many tokens per second."""
        return math.ceil(tokens_per_s / self.chunk - _ROUNDING)

    @property
    def floor(self) -> int:
        """Chunks that are always allotted."""
        return self.chunks(self.minimum)

    @property
    def ceiling(self) -> int:
        """The most chunks that may be allotted."""
        return max(self.chunks(self.maximum), self.floor)

    @property
    def held(self) -> int:
        """Whole chunks that are allotted; a part of one, left by another chunk size, does not count."""
        return int(self.allotment / self.chunk + _ROUNDING)


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked, in reference tokens per second: by the mean, and by the last seconds. Both with the backlog."""

    mean: float
    burst: float
    backlog: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What to allot, in tokens per second, and why. `wants` is for the next one.

    `wanted` is chunks by demand alone, and `lasting` those by its mean: what is worth a start that outlasts a burst.
    """

    allotment: float
    kind: Kind
    reason: str
    demand: Demand
    wanted: int
    wants: tuple[Want, ...]
    lasting: int = 0


def decide(now: float, policy: Policy, state: State, samples: Sequence[Sample]) -> Decision:
    """What one served entity is allotted from now on; `samples` are oldest first, and the last one is of now.

    Never outside the band, never more than what is free beyond what is held (but the minimum is always granted), and
    never less for more demand.
    """
    demand = _demand(now, policy, samples)
    wanted = _wanted(policy, state, demand)
    wants = window(state.wants, Want(now, wanted), now - policy.window_s(state.startup_s))
    chunks, kind = _settled(policy, state, wanted, wants[0].chunks)
    reason = _reason(policy, state, demand, wanted=wanted, chunks=chunks, kind=kind)
    return Decision(
        chunks * state.chunk, kind, reason, demand, wanted, wants, state.chunks(demand.mean / policy.target)
    )


def _demand(now: float, policy: Policy, samples: Sequence[Sample]) -> Demand:
    if not samples:
        return Demand(0.0, 0.0, 0.0)
    backlog = samples[-1].backlog
    draining = backlog / policy.drain_s
    mean = _rate(now, policy.mean_s, samples) + draining
    return Demand(mean, _rate(now, policy.burst_s, samples) + draining, backlog)


def _rate(now: float, seconds: float, samples: Sequence[Sample]) -> float:
    """Arrivals per second over the last `seconds`; before the first sample nothing is taken to have come."""
    base = samples[max(bisect_right(samples, now - seconds + _ROUNDING, key=_at) - 1, 0)]
    return max(samples[-1].arrived - base.arrived, 0.0) / max(seconds, now - base.at)


def _at(sample: Sample) -> float:
    return sample.at


def _wanted(policy: Policy, state: State, demand: Demand) -> int:
    """Chunks by demand alone, whatever the band says. A burst counts against what is held: more never gives less."""
    by_mean = state.chunks(demand.mean / policy.target)
    by_burst = state.chunks(demand.burst / policy.target)
    threshold = policy.burst_chunks if state.held else 1
    return max(by_mean, by_burst) if by_burst >= state.held + threshold else by_mean


def window(before: tuple[Want, ...], newest: Want, since: float) -> tuple[Want, ...]:
    """The wants of the window that may still be its largest, largest first; the newest is always there."""
    kept = [want for want in before if want.at > since and want.chunks > newest.chunks]
    return (*kept, newest)


def _settled(policy: Policy, state: State, wanted: int, peak: int) -> tuple[int, Kind]:
    """Chunks to allot: by the band first, then up to what is wanted and free, or down to the window's peak."""
    held = state.held
    bounded = min(max(held, state.floor), state.ceiling)
    if bounded * state.chunk != state.allotment:
        return bounded, Kind.BAND
    free = held + max(int(state.free / state.chunk + _ROUNDING), 0)
    up = min(wanted, state.ceiling, free)
    if up > held:
        return up, Kind.UP
    asleep = state.idle_s >= policy.idle_s and wanted == 0
    least = state.floor if state.floor or asleep else min(1, held)
    down = max(peak, least)
    if asleep and not state.floor and held:
        return 0, Kind.ZERO
    return (down, Kind.DOWN) if down < held else (held, Kind.HELD)


def _reason(policy: Policy, state: State, demand: Demand, *, wanted: int, chunks: int, kind: Kind) -> str:
    asked = (
        f"Demand is {max(demand.mean, demand.burst):,.0f} tokens/s at the most ({demand.mean:,.0f} over "
        f"{policy.mean_s:g} s, {demand.burst:,.0f} over {policy.burst_s:g} s, {demand.backlog:,.0f} tokens waiting), "
        f"which takes {count(wanted)} of {state.chunk:,.0f} tokens/s"
    )
    window = policy.window_s(state.startup_s)
    match kind:
        case Kind.UP:
            return f"{asked}{_limit(state, wanted, chunks)}; raised from {count(state.held)} to {chunks}."
        case Kind.DOWN:
            return f"{asked}, and no more than {chunks} in {window:g} s; lowered from {count(state.held)}."
        case Kind.ZERO:
            return f"Nothing was asked for {policy.idle_s:g} s, and the minimum is 0."
        case Kind.BAND:
            band = f"{state.minimum:,.0f} to {state.maximum:,.0f} tokens/s"
            return f"The band is {band}: {state.floor} to {count(state.ceiling)} of {state.chunk:,.0f} tokens/s."
        case _:
            return f"{asked}{_limit(state, wanted, chunks)}; {count(state.held)} held."


def _limit(state: State, wanted: int, chunks: int) -> str:
    if wanted <= chunks:
        return ""
    if chunks >= state.ceiling:
        return f", but the maximum is {state.ceiling}"
    free = max(int(state.free / state.chunk + _ROUNDING), 0)
    has = "the device has" if state.devices == 1 else f"its {state.devices} devices have"
    return f", but {has} {count(free)} free" if wanted > state.held + free else ""


def count(chunks: int) -> str:
    """So many, in words."""
    return f"{chunks} chunk" if chunks == 1 else f"{chunks} chunks"
