"""Who is in which replica: the least loaded one is taken, and none gets more than its engine holds.

The order of service is the gate's; this is what keeps an engine's own queue short where nothing is sold.
"""

from collections.abc import Sequence

from penstock.domain import admission
from penstock.domain.admission import Load, Reject
from penstock.domain.errors import Overloaded
from penstock.domain.routing import ReadyReplica
from penstock.ports.clock import Clock

FIRST_GUESS_S = 1.0
"""How long a request is taken to last before the first one has ended."""
_WEIGHT = 0.1
"""Of the newest request in the running mean."""


class _Room:
    """Requests in one replica, and how long they last."""

    __slots__ = ("in_flight", "mean_s")

    def __init__(self) -> None:
        self.in_flight = 0
        self.mean_s = FIRST_GUESS_S


class Pass:
    """The right to use a replica; given back once."""

    __slots__ = ("entered", "replica")

    def __init__(self, replica: ReadyReplica, entered: float) -> None:
        self.replica = replica
        self.entered = entered


class Rooms:
    """Replicas and their load."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rooms: dict[str, _Room] = {}

    def enter(self, replicas: Sequence[ReadyReplica]) -> Pass:
        """Admits a request to the least loaded of `replicas` (at least one).

        Raises:
            Overloaded: that one is full; the message names the limit, its value and its use.
        """
        replica = replicas[0] if len(replicas) == 1 else min(replicas, key=self._fullness)
        room = self._rooms.get(replica.id)
        if room is None:
            room = self._rooms[replica.id] = _Room()
        limit = replica.max_running + replica.max_queue
        decision = admission.decide(Load(room.in_flight, limit, replica.max_running, room.mean_s))
        if isinstance(decision, Reject):
            raise Overloaded(decision.reason, decision.retry_after_s)
        room.in_flight += 1
        return Pass(replica, self._clock.monotonic())

    def leave(self, passed: Pass) -> None:
        """The request has left the replica, however it ended."""
        room = self._rooms[passed.replica.id]
        room.in_flight -= 1
        room.mean_s += _WEIGHT * (self._clock.monotonic() - passed.entered - room.mean_s)
        if not room.in_flight:
            # An idle replica needs no memory of its load, and one that is gone must leave none behind.
            del self._rooms[passed.replica.id]

    def in_flight(self, replica_id: str) -> int:
        """Requests in the replica now."""
        room = self._rooms.get(replica_id)
        return room.in_flight if room else 0

    def _fullness(self, replica: ReadyReplica) -> float:
        return self.in_flight(replica.id) / max(replica.max_running, 1)
