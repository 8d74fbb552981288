"""Whether a request may enter: for now a bounded queue per replica.

The room of the gate: `decide` will be answered by the guarantee's one gate per device (docs/capacity.md); callers
already treat its three answers, so that only this decision changes.
"""

from dataclasses import dataclass

MAX_RETRY_AFTER_S = 60


@dataclass(frozen=True, slots=True)
class Load:
    """A replica's load: requests in flight (running or queued in the engine), how many may be, and mean seconds each.

    `limit` is running + queued requests that the replica takes; `parallel` how many run at once.
    """

    in_flight: int
    limit: int
    parallel: int
    mean_s: float


@dataclass(frozen=True, slots=True)
class Admit:
    """The request may be sent now."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The request is refused: come back after `retry_after_s` whole seconds. `reason` names the limit and its use."""

    retry_after_s: int
    reason: str


def decide(load: Load) -> Admit | Reject:
    """Admits while the replica's queue has room; else refuses with the time in which a place is likely to be free."""
    if load.in_flight < load.limit:
        return Admit()
    waiting = load.in_flight - load.parallel + 1
    wait_s = waiting / max(load.parallel, 1) * load.mean_s
    return Reject(
        min(max(round(wait_s), 1), MAX_RETRY_AFTER_S),
        f"Exceeded max number of parallel requests: {load.in_flight} are in flight and the limit is {load.limit} "
        f"({load.parallel} running, {load.limit - load.parallel} queued).",
    )
