"""How the control plane asks a model something on behalf of a caller."""

from dataclasses import dataclass
from typing import Protocol

from penstock.domain.access import Caller
from penstock.domain.model import Task


@dataclass(frozen=True, slots=True)
class Told:
    """A whole answer, as it would go over the wire. `retry_after_s` is None where nothing is said of another time."""

    status: int
    body: bytes
    request_id: str
    retry_after_s: float | None = None


class Inference(Protocol):
    """The data plane, in process."""

    async def ask(self, caller: Caller, endpoint: str, task: Task, body: bytes) -> Told:
        """Asks at batch priority. Errors are answers; raises Temporary only when the server stops.

        Safe to cancel: the request is ended in the engine too.
        """
        ...
