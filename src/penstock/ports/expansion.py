"""Replicas beyond what minimums take: what the autoscaler may ask for, and how it asks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Outlook:
    """What another replica of a served entity would take: `startup_s` seconds, as measured, until it serves.

    `devices` have the memory for one and none of its kind for this endpoint, by name with the share of their time (0 to
    0.9) that no minimum has reserved. On those of them that are `running` one is ready which others have: to join it
    takes no start.
    """

    startup_s: float
    devices: Mapping[str, float]
    running: frozenset[str] = frozenset()


class Expansion(Protocol):
    """The keeper of replicas, as the autoscaler sees it. Returns at once."""

    def outlook(self, endpoint_id: str, entity: str) -> Outlook | None:
        """What may be asked for; None where nothing was measured, or the endpoint is not served."""
        ...

    def want(self, endpoint_id: str, entity: str, devices: Iterable[str]) -> None:
        """A replica is wanted on just these devices beyond what the minimum takes, until this is called again.

        Others of them drain. One that a minimum leaves no memory for is not started, or drains.
        """
        ...

    def came(self, endpoint_id: str, entity: str, took_s: float) -> None:
        """One that was started can be used, so many seconds after it was decided: outlooks go by that."""
        ...
