"""Telemetry that is kept instead of sent."""

import itertools

from penstock.domain.ended_request import EndedCall, EndedRequest


class FakeTelemetry:
    """See `penstock.ports.telemetry.Telemetry`."""

    def __init__(self) -> None:
        self.requests: list[EndedRequest] = []
        self.calls: list[EndedCall] = []

    def request(self, ended: EndedRequest) -> None:
        """Keeps it."""
        self.requests.append(ended)

    def call(self, ended: EndedCall) -> None:
        """Keeps it."""
        self.calls.append(ended)


class Counted:
    """Random bits that count up from 1, for `penstock.gateway.trace.Tracing`."""

    def __init__(self) -> None:
        self._next = itertools.count(1)

    def __call__(self, _bits: int) -> int:
        """The next number."""
        return next(self._next)
