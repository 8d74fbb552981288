"""Where traces and figures of what has ended are sent.

Contract. Everything returns at once and nothing is raised: sending is done elsewhere, and what is told faster than it
can be sent is dropped, and counted.
"""

from typing import Protocol

from penstock.domain.ended_request import EndedCall, EndedRequest


class Telemetry(Protocol):
    """A sender of telemetry. Safe from any task of the event loop."""

    def request(self, ended: EndedRequest) -> None:
        """A request to an endpoint has ended."""
        ...

    def call(self, ended: EndedCall) -> None:
        """A request to the control plane has ended."""
        ...
