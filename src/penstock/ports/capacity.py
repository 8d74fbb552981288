"""What the gate tells the control plane of each served entity, and how it is told an allotment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.domain.scaling_room import Part


@dataclass(frozen=True, slots=True)
class Reading:
    """How one served entity stands at the gate, now. A chunk takes `chunk_share` of a device; `parts` tell of which.

    Tokens are reference tokens (2,048 in and 256 out cost 2,304).

    `arrived` and `attained` count up from the start of the process: what was offered (refused work too), and what was
    done. `backlog` waits now, in tokens; `waiting` and `in_flight` are requests. `allotment`, `minimum`, `maximum`,
    `throughput` (what a whole device does of this version) and `chunk` are tokens per second. `predicted_wait_s` is
    how long a request that comes now would wait. Requests are estimated with `mean_out`, the running mean of answers
    in tokens (0 before the first one), and `characters_per_token`; `answers` and `prompts` are how many have told them.
    """

    endpoint_id: str
    entity: str
    arrived: float
    attained: float
    backlog: float
    waiting: int
    in_flight: int
    allotment: float
    minimum: float
    maximum: float
    throughput: float
    chunk: float
    predicted_wait_s: float
    mean_out: float = 0.0
    chunk_share: float = 0.0
    parts: tuple[Part, ...] = ()
    answers: int = 0
    characters_per_token: float = 0.0
    prompts: int = 0


class Capacity(Protocol):
    """The gate, as the control plane sees it."""

    def readings(self) -> Sequence[Reading]:
        """One reading for each served entity that the gate knows, in a stable order. Returns at once."""
        ...

    def allot(self, endpoint_id: str, entity: str, parts: Mapping[str, float]) -> None:
        """Allots a served entity so many tokens per second of each device, at once: at least what is reserved there.

        Does nothing if the gate no longer knows it.
        """
        ...

    def expect(self, endpoint_id: str, entity: str, ready_in_s: float, tokens_per_s: float) -> None:
        """A further replica is to be ready then, with so many tokens per second: who is refused is told; 0 for none."""
        ...
