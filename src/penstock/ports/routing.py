"""Between what is wanted and what is served: the reconciler publishes, the gateway reports. Neither knows the other."""

from typing import Protocol

from penstock.domain.acl import Acl
from penstock.domain.routing import EndpointRoute


class RouteTable(Protocol):
    """The gateway's table of endpoints, in memory. Called from the event loop only; nothing here blocks or raises."""

    def publish(self, endpoint: EndpointRoute) -> None:
        """Replaces what is known of the endpoint; requests waiting for a replica of it are woken."""
        ...

    def permit(self, endpoint_id: str, acl: Acl) -> None:
        """Sets the grants on the endpoint, for the next request on. They win over those of what is published."""
        ...

    def withdraw(self, endpoint_id: str) -> None:
        """Forgets the endpoint; requests waiting for it are told that it does not exist."""
        ...

    def idle_s(self, endpoint_id: str, entity: str) -> float:
        """Seconds since the last request to that served entity ended, 0 while one runs or waits.

        Counted from publication when there was none yet.
        """
        ...


class Demand(Protocol):
    """What the gateway tells the control plane. Called from the event loop only; returns at once."""

    def ask(self, endpoint_id: str, entity: str) -> None:
        """A request waits for a replica of that served entity. Safe to repeat."""
        ...

    def lost(self, replica_id: str) -> None:
        """A replica did not answer or broke off: it should be looked at now."""
        ...
