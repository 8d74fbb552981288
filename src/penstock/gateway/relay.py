"""From a request to an answer that has begun: finds a replica, waits for one, and replaces one that does not answer."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from penstock.domain.errors import EndpointNotFound, EngineFailed, InvalidRequest, Overloaded, Temporary
from penstock.domain.fairness import Refused
from penstock.domain.genai import OURS
from penstock.domain.model import Task
from penstock.domain.routing import EntityRoute, ReadyReplica
from penstock.domain.tenancy import Priority
from penstock.domain.traffic import choose
from penstock.domain.usage import RequestOutcome, Usage
from penstock.gateway.call import Asked
from penstock.gateway.count import Size
from penstock.gateway.gate import Ask, Gate, Turn
from penstock.gateway.ledger import NOTHING
from penstock.gateway.rooms import Rooms
from penstock.gateway.table import Table
from penstock.gateway.tail import END, Tail
from penstock.gateway.trip import Trip
from penstock.ports.relay import Answer, Relay
from penstock.ports.routing import Demand

PATHS = {
    Task.CHAT: "/v1/chat/completions",
    Task.COMPLETIONS: "/v1/completions",
    Task.EMBEDDINGS: "/v1/embeddings",
}
MAX_LOSSES = 3
"""Replicas that one request may lose before it is given up: it may be what kills them."""
_BUSY = 503
_NO_ANSWER = "engine_failed"


@dataclass(frozen=True, slots=True)
class Waits:
    """How long and how many requests wait for a replica.

    `replace_s` for the replacement of one that is gone; one of an endpoint that is scaled to zero is waited for as long
    as the request may last, `request_s` or what its client says. `most` requests wait for one endpoint. Where there is
    no room to start one, nobody is asked to come back before `room_s`.
    """

    replace_s: float = 60.0
    most: int = 64
    retry_after_s: int = 5
    request_s: float = 597.0
    room_s: int = 30


class Carrier:
    """Brings requests to replicas."""

    def __init__(
        self,
        table: Table,
        gate: Gate,
        relay: Relay,
        demand: Demand,
        *,
        rooms: Rooms,
        waits: Waits,
        pick: Callable[[], float],
    ) -> None:
        """`pick` gives uniform numbers in [0, 1) for the traffic split."""
        self._table = table
        self._gate = gate
        self._rooms = rooms
        self._relay = relay
        self._demand = demand
        self._waits = waits
        self._pick = pick

    def route(self, trip: Trip) -> str:
        """The served entity for a request: the one it addresses, or one by the traffic split.

        Raises:
            InvalidRequest: the endpoint serves nothing yet, or not the entity that is addressed.
        """
        endpoint, addressed = trip.endpoint, trip.call.entity
        if not endpoint.entities:
            raise InvalidRequest(endpoint.problem or f"Endpoint '{endpoint.name}' has no configuration that is ready.")
        if addressed is None:
            return choose(endpoint.routes, self._pick()) if len(endpoint.entities) > 1 else endpoint.entities[0].name
        if endpoint.entity(addressed) is None:
            names = ", ".join(entity.name for entity in endpoint.entities)
            raise InvalidRequest(f"Endpoint '{endpoint.name}' has no served entity '{addressed}'; it has: {names}.")
        return addressed

    def size(self, trip: Trip, task: Task, asked: Asked) -> Size:
        """A request's tokens, as far as its body tells them: one for each character until prompts have been counted."""
        counter, endpoint_id = self._gate.counter, trip.endpoint.id
        size = counter.size(endpoint_id, trip.entity, task, asked)
        if asked.counted or trip.endpoint.is_external or counter.ratio(endpoint_id, trip.entity).prompts:
            return size
        return replace(size, tokens_in=max(asked.size, size.tokens_in))

    async def open(self, trip: Trip, path: str) -> bytes:
        """Sends the request; returns when its answer has begun, with the first bytes: the whole body, or whole events.

        A replica that fails before that is replaced by another or by its replacement.

        Raises:
            EndpointNotFound: the endpoint was deleted meanwhile.
            EngineFailed: too many replicas failed.
            Overloaded: the replica's queue is full, or too many wait for a replica.
            Temporary: no replica came in time.
        """
        while True:
            replica = await self._enter(trip)
            try:
                return await self._begin(trip, path, replica)
            except EngineFailed as error:
                trip.back(_NO_ANSWER)
                self.lose(trip)
                self.close(trip)
                trip.lost.add(replica.id)
                trip.losses += 1
                if trip.losses >= MAX_LOSSES:
                    raise EngineFailed(
                        f"{trip.losses} replicas failed before they answered: {error.message}"
                    ) from error

    async def _begin(self, trip: Trip, path: str, replica: ReadyReplica) -> bytes:
        with trip.own:
            events = await self._asked(trip, path, replica)
        if trip.tail is not None and trip.turn is not None:
            self._gate.first(trip.turn)
        return events

    async def _asked(self, trip: Trip, path: str, replica: ReadyReplica) -> bytes:
        call, entry, entity = trip.call, trip.entry, trip.endpoint.entity(trip.entity)
        trip.tail = None
        grant = trip.turn.grant if trip.turn is not None else None
        answer = trip.answer = await self._relay.open(
            replica.address,
            path,
            call.body if trip.held is None else trip.held.body(call.body),
            call.request_id,
            namespace=trip.endpoint.id,
            adapter=entity.adapter if entity is not None else "",
            patience_s=grant.patience_s if grant is not None else 0.0,
            trace=trip.leave(OURS, trip.endpoint.name),
        )
        if answer.status == _BUSY:
            # An engine that is stopping; the table is about to say so.
            raise EngineFailed("the replica takes no requests")
        if not (entry.streaming and answer.status < 400):  # noqa: PLR2004 - HTTP: errors begin here
            return await answer.whole()
        trip.tail = Tail()
        return await next_events(answer, trip.tail)

    def passed_on(self, trip: Trip, events: bytes) -> None:
        """Events of an answer have come: each has a token or so."""
        if trip.turn is not None:
            trip.tokens += events.count(END)
            self._gate.progress(trip.turn, trip.tokens)

    def guessed(self, trip: Trip) -> Usage:
        """What a request with a replica has used so far, where nobody tells: by its text, and by the time it had.

        A stream that has told nothing has computed no more than its prompt.
        """
        if trip.task is None or trip.asked is None or not trip.entry.sent:
            return NOTHING
        size = self._gate.counter.size(trip.endpoint.id, trip.entity, trip.task, trip.asked)
        if trip.turn is None or trip.asked.streaming:
            return Usage(size.tokens_in, estimated=True)
        return Usage(size.tokens_in, self._gate.out_after(trip.turn, size, trip.entry.sent_s), estimated=True)

    def lose(self, trip: Trip) -> None:
        """The replica that has the request failed it."""
        if trip.passed is not None:
            self._demand.lost(trip.passed.replica.id)

    def close(self, trip: Trip) -> None:
        """The request has left its replica. Safe to repeat."""
        if trip.answer is not None:
            trip.answer.close()
            trip.answer = None
        if trip.passed is not None:
            self._rooms.leave(trip.passed)
            trip.passed = None
        if trip.turn is not None:
            ended = trip.entry.ended
            used = trip.entry.usage if ended else NOTHING
            self._gate.end(trip.turn, used, whole=trip.entry.outcome is RequestOutcome.COMPLETED)
            if ended and trip.asked is not None:
                self._gate.learn(trip.turn, trip.asked, used)
            trip.turn = None

    async def _enter(self, trip: Trip) -> ReadyReplica:
        """A replica for the request, when it is its turn."""
        while True:
            entity = trip.endpoint.entity(trip.entity)
            ready = entity.replicas if entity is not None and not trip.lost else ()
            if not ready:
                ready = await self._replicas(trip)
            turn = self._ask(trip)
            if turn is not None:
                if not turn.future.done():
                    trip.entry.admit()
                with trip.own:
                    granted = await self._gate.granted(turn)
                if not granted or turn.grant is None:
                    self.close(trip)
                    self._newest(trip)
                    continue
                trip.entry.lane, trip.entry.decision = turn.grant.lane, turn.decision
                ready = self._still(trip, turn)
                if not ready:
                    self.close(trip)
                    continue
            trip.passed = self._rooms.enter(ready)
            replica = trip.passed.replica
            trip.entry.replica_id = replica.id
            trip.entry.admit()
            return replica

    def _ask(self, trip: Trip) -> Turn | None:
        """The request's turn at the gate, granted or not; raises Overloaded if it is refused."""
        call, entry, asked, task = trip.call, trip.entry, trip.asked, trip.task
        if asked is None or task is None:
            return None
        size = self._gate.counter.size(trip.endpoint.id, trip.entity, task, asked)
        priority = _priority(trip)
        entity = trip.endpoint.entity(trip.entity)
        trip.tries += 1
        ticket = call.request_id if trip.tries == 1 else f"{call.request_id}#{trip.tries}"
        user, owed = call.caller.principal.name, entry.admitted
        answer = self._gate.ask(Ask(trip.endpoint.id, trip.entity, ticket, size, priority, user, owed, call.body))
        entry.priority, entry.prompts = priority.name.lower(), asked.prompts
        entry.sale = entity.sale if entity is not None else None
        if answer is None:
            return None
        if not owed or not entry.asked_s:
            entry.asked_s = answer.seconds if isinstance(answer, Refused) else answer.admitted.seconds
        if isinstance(answer, Refused):
            entry.decision = answer.decision
            raise Overloaded(answer.reason, answer.retry_after_s)
        entry.within = entry.within or answer.admitted.within
        if not answer.future.done():
            entry.decision = answer.decision
        trip.turn = answer
        return answer

    def _still(self, trip: Trip, turn: Turn) -> tuple[ReadyReplica, ...]:
        """The replicas that are ready now that it is the request's turn."""
        entity = self._newest(trip).replicas
        ready = tuple(one for one in entity if one.id not in trip.lost)
        if any(one.device != turn.device.name for one in ready):
            ready = tuple(one for one in ready if one.device == turn.device.name)
        return ready

    async def _replicas(self, trip: Trip) -> tuple[ReadyReplica, ...]:
        """The replicas that have not failed this request; waits until there is one."""
        while True:
            entity = self._newest(trip)
            listed = {replica.id for replica in entity.replicas}
            # One that was taken from the table and is back has been looked at.
            trip.lost &= listed
            ready = tuple(replica for replica in entity.replicas if replica.id not in trip.lost)
            if ready:
                return ready
            await self._wait(trip, entity)

    def _newest(self, trip: Trip) -> EntityRoute:
        newest = self._table.current(trip.endpoint.id)
        if newest is None:
            raise EndpointNotFound
        trip.endpoint = newest
        entity = newest.entity(trip.entity)
        if entity is None:
            # An update has replaced it.
            trip.entity = trip.entry.entity = self.route(trip)
            entity = newest.entity(trip.entity)
        if entity is None:
            raise InvalidRequest(f"Endpoint '{newest.name}' has no served entity '{trip.entity}'.")
        return entity

    async def _wait(self, trip: Trip, entity: EntityRoute) -> None:
        waits, name = self._waits, trip.endpoint.name
        waiting = self._table.waiting(trip.endpoint.id)
        if waiting >= waits.most:
            raise Overloaded(
                f"Too many requests wait for a replica of endpoint '{name}' to start: {waiting} wait and the limit "
                f"is {waits.most}.",
                waits.retry_after_s,
            )
        self._demand.ask(trip.endpoint.id, entity.name)
        limit_s: float | None = waits.replace_s
        if entity.scales_to_zero and not trip.lost:
            limit_s = self._check_start(trip, entity)
        trip.entry.admit()
        with trip.own:
            has_changed = await self._table.changed(trip.endpoint.id, limit_s)
        if not has_changed:
            why = trip.endpoint.problem or f"No replica of endpoint '{name}' became ready in time."
            raise Temporary(why, waits.retry_after_s)

    def _check_start(self, trip: Trip, entity: EntityRoute) -> float | None:
        """How long to wait for an entity that is scaled to zero, None for as long as the request may last.

        Raises:
            Temporary: it cannot be started now, or not before the request's time is over.
        """
        waits, patience_s = self._waits, trip.call.patience_s
        asleep = f"Endpoint '{trip.endpoint.name}' is scaled to zero"
        if entity.stuck:
            after_s = max(math.ceil(entity.startup_s), waits.room_s)
            takes = f" Once there is room, that takes about {entity.startup_s:.1f} s." if entity.startup_s else ""
            raise Temporary(f"{asleep}, and no replica can be started now: {entity.stuck}.{takes}", after_s)
        allowed_s = min(waits.request_s, waits.request_s if patience_s is None else patience_s)
        left_s = allowed_s - trip.entry.age_s
        start_s = entity.startup_s - self._table.waking_s(trip.endpoint.id, entity.name)
        if start_s > left_s:
            raise Temporary(
                f"{asleep}: a replica is being started and will be ready in about {start_s:.1f} s, but this request "
                f"may take {left_s:.1f} s more.",
                max(math.ceil(start_s), 1),
            )
        return None if patience_s is None else max(left_s, 0.0)


def _priority(trip: Trip) -> Priority:
    """The class that the request is served in: batches wait for all others, and shared models for reserved ones."""
    if trip.call.priority == "batch":
        return Priority.BATCH
    return Priority.SHARED if trip.endpoint.pay_per_token else Priority.RESERVED


async def next_events(answer: Answer, tail: Tail) -> bytes:
    """The next whole events, empty at the end; raises EngineFailed if that comes before `[DONE]` or an error event."""
    while True:
        try:
            chunk = await answer.chunk()
        except EngineFailed:
            if tail.done:
                return b""
            raise
        if not chunk:
            if tail.done or tail.broken():
                return b""
            raise EngineFailed("The engine broke off in the middle of the answer.")
        events = tail.feed(chunk)
        if events:
            return events
