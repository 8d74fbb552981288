"""Who looks on while requests are served: sums of what has ended, and the traces that go elsewhere."""

from penstock.domain.answer_counts import AnswerCounts
from penstock.domain.ended_request import EndedCall, EndedRequest
from penstock.domain.genai import OURS, provider_of
from penstock.domain.request_sums import RequestSums
from penstock.domain.routing import EndpointRoute
from penstock.domain.trace_context import TraceContext
from penstock.gateway.recording import Recording
from penstock.gateway.trace import Trace, Tracing
from penstock.gateway.trip import Trip
from penstock.ports.telemetry import Telemetry


class Observer:
    """Hears of every request once, when it has ended. With nobody to tell, nothing is traced."""

    def __init__(self, telemetry: Telemetry | None = None, tracing: Tracing | None = None) -> None:
        """Without `tracing`, what callers say of their traces is passed on as it came."""
        self.sums = RequestSums()
        self.answers = AnswerCounts()
        self._telemetry = telemetry
        self._tracing = tracing

    def publish(self, endpoint: EndpointRoute) -> None:
        """The endpoint is there."""
        self.sums.publish(endpoint.id)

    def withdraw(self, endpoint_id: str) -> None:
        """The endpoint is gone."""
        self.sums.withdraw(endpoint_id)

    def begin(self, parent: TraceContext | None) -> Trace | None:
        """The trace of a request that has come; None if it is part of none."""
        if self._tracing is not None:
            return self._tracing.begin(parent)
        return None if parent is None else Trace(parent)

    def ended(self, trip: Trip) -> None:
        """The request of the trip has ended, and is settled."""
        record, trace = trip.entry.record, trip.trace
        if record is None:
            return
        self.sums.see(record, trip.own.told_ms)
        if self._telemetry is None:
            return
        provider, model = asked_of(trip.endpoint, record.served_entity)
        traced = None
        if trace is not None:
            trace.back(record.duration_ms / 1000, _error(record.status))
            reply = trip.reply
            traced = trace.told(reply.said if isinstance(reply, Recording) else None)
        self._telemetry.request(EndedRequest(record, trip.own.told_ms, provider, model, traced))

    def called(self, ended: EndedCall) -> None:
        """A request to the control plane has ended, whose trace is recorded."""
        if self._telemetry is not None:
            self._telemetry.call(ended)


def asked_of(endpoint: EndpointRoute, entity: str) -> tuple[str, str]:
    """The provider of a served entity and the model that is asked for there: by the endpoint's name if it runs here."""
    route = endpoint.entity(entity)
    external = route.external if route is not None else None
    return (OURS, endpoint.name) if external is None else (provider_of(external.model), external.model.name)


def _error(status: int) -> str:
    return "" if status < 400 else str(status)  # noqa: PLR2004 - HTTP: errors begin here
