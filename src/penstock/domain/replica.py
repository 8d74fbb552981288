"""A replica: one engine process that runs one spec on one device, for every endpoint that wants it there.

The only stored state machine:

requested -> building -> loading -> measuring -> ready -> draining -> stopped
     |          |           |           |          |          |
     +----------+-----------+-----------+----------+----------+---> failed
"""

from dataclasses import dataclass
from enum import StrEnum

from penstock.domain.errors import PenstockError


class ReplicaState(StrEnum):
    """Where a replica stands."""

    REQUESTED = "requested"
    BUILDING = "building"
    LOADING = "loading"
    MEASURING = "measuring"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


_ORDER = (
    ReplicaState.REQUESTED,
    ReplicaState.BUILDING,
    ReplicaState.LOADING,
    ReplicaState.MEASURING,
    ReplicaState.READY,
    ReplicaState.DRAINING,
    ReplicaState.STOPPED,
)
ENDED = frozenset({ReplicaState.STOPPED, ReplicaState.FAILED})


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica as stored. `spec` is `ServedEntity.spec`, `memory` is bytes.

    `device` is the name of the device it runs on, empty for those of a time when there was only one.

    `address` is where its engine listens ("unix:PATH" or "http://127.0.0.1:PORT"), empty before it runs. `pid` and
    `pid_started` (epoch seconds) name its process beyond doubt. `message` says what it does or why it failed.
    `changed_at` is epoch milliseconds. `fatal`: it failed, and another would fail the same way.
    """

    id: str
    spec: str
    entity_name: str
    entity_version: str
    state: ReplicaState
    message: str
    memory: int
    address: str
    pid: int
    pid_started: float
    created_at: int
    changed_at: int
    device: str = ""
    fatal: bool = False

    @property
    def ended(self) -> bool:
        """Whether its process is gone for good."""
        return self.state in ENDED


def check_step(before: ReplicaState, after: ReplicaState) -> None:
    """Raises PenstockError unless a replica may go from `before` to `after`: forward only, failing from anywhere."""
    if before in ENDED or (after is not ReplicaState.FAILED and _ORDER.index(after) < _ORDER.index(before)):
        raise PenstockError(f"A replica cannot go from {before} to {after}.")
