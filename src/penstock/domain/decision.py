"""What the gate decided on a request, in one sentence for the ledger: where it stands, how it went, what held it up."""

from penstock.domain.tenancy import HeldBy, Lane, Priority

NO_WAIT_S = 0.001


def standing(priority: Priority, *, within: bool) -> str:
    """Where a request stands."""
    if within:
        return "within its rate"
    return {
        Priority.RESERVED: "above its rate",
        Priority.SHARED: "pay-per-token",
        Priority.BATCH: "batch",
    }[priority]


def waits(where: str, ahead: int) -> str:
    """Of a request that is not sent yet; `ahead` of its own endpoint's wait before it."""
    return f"{where}, waits behind {ahead}"


def sent(where: str, lane: Lane, waited_s: float, ahead: int, held_by: HeldBy) -> str:
    """Of a request that was sent."""
    if waited_s < NO_WAIT_S:
        return f"{where}, {lane.value}: at once"
    return f"{where}, {lane.value}: waited {waited_s:.2f} s behind {ahead} for {held_by.value}"


def refused(where: str, waiting: int, tokens: float, retry_after_s: int) -> str:
    """Of a request that was refused; `summary` leaves the numbers out."""
    return f"refused, {where}: the queue is full ({waiting} worth {tokens:,.0f} wait; back in {retry_after_s} s)"


def summary(decision: str) -> str:
    """A decision without its numbers, to count those alike."""
    return decision.partition(" (")[0]
