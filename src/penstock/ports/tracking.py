"""MLflow's own tracking server, which keeps experiments, runs and logged models beside ours."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TrackingRequest:
    """What is asked of it. `target` is the path and the query, percent-encoded; header names are in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class TrackingAnswer(Protocol):
    """Its answer, whose body is read once, to its end or until `chunks` is closed. Header names are in lower case."""

    status: int
    headers: Sequence[tuple[str, str]]

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes; raises Temporary if it breaks off."""
        ...


class TrackingServer(Protocol):
    """A server of its own that is started when it is first asked, and again when it has ended."""

    async def ask(self, request: TrackingRequest) -> TrackingAnswer:
        """Its answer. May take as long as its start does.

        Raises InvalidRequest that names what is to be installed if it cannot run here, and Temporary if it does not
        start or answer.
        """
        ...
