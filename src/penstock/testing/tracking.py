"""An MLflow server that says what tests tell it to, and remembers what it was asked."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from penstock.domain.errors import PenstockError
from penstock.ports.tracking import TrackingAnswer, TrackingRequest


@dataclass
class FakeAnswer:
    """See `penstock.ports.tracking.TrackingAnswer`. The body comes a few bytes at a time."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = (("content-type", "application/json"),)
    body: bytes = b"{}"

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body."""
        for at in range(0, len(self.body), 7):
            yield self.body[at : at + 7]


@dataclass
class FakeTracking:
    """See `penstock.ports.tracking.TrackingServer`. `fault` is raised instead of answering."""

    answer: FakeAnswer = field(default_factory=FakeAnswer)
    fault: PenstockError | None = None
    asked: list[TrackingRequest] = field(default_factory=list)

    async def ask(self, request: TrackingRequest) -> TrackingAnswer:
        """What it was told to say."""
        self.asked.append(request)
        if self.fault is not None:
            raise self.fault
        return self.answer
