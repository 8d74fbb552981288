"""The path of one request, from top to bottom.

    1 find      the endpoint, in memory
    2 check     may the caller, is the body right
    3 route     traffic split -> served entity
    4 limits    a call and its tokens are reserved with the rate limits of its endpoint, if it has any
                and with those of the workspace, if its model is paid by the token
    5 gate      its turn on the device; wait for a replica when there is none
    6 relay     the answer passes as opaque bytes; what it used is read from its end
    7 settle    always, once: completed | failed | cancelled | rejected

No database on this path.
"""

import asyncio
from dataclasses import dataclass, field, replace

from penstock.domain.acl import require_query
from penstock.domain.errors import (
    DeadlineExceeded,
    DoesNotExist,
    EndpointNotFound,
    EngineFailed,
    InvalidRequest,
    Overloaded,
    PenstockError,
    PermissionDenied,
    Temporary,
)
from penstock.domain.model import Task
from penstock.domain.routing import EndpointRoute
from penstock.domain.usage import UNTOLD, RequestOutcome
from penstock.gateway.abroad import Abroad
from penstock.gateway.call import Call, Reply
from penstock.gateway.interrupt import Cut, Interrupt, Running
from penstock.gateway.ledger import NOTHING, Ledger
from penstock.gateway.limits import Limits
from penstock.gateway.observer import Observer
from penstock.gateway.quotas import Quotas
from penstock.gateway.recording import Recording
from penstock.gateway.relay import PATHS, Carrier, next_events
from penstock.gateway.table import Table
from penstock.gateway.tail import END, Tail, usage_of
from penstock.gateway.trip import Trip
from penstock.ports.engine import EngineCanceller
from penstock.ports.relay import Answer

_OK = 200
_CLIENT_ERROR = 400
_TOO_MANY = 429
_SERVER_ERROR = 500
_CLIENT_GONE = 499
_JSON = b"application/json"
_REJECTIONS = (InvalidRequest, PermissionDenied, DoesNotExist, Overloaded)
DRAINING_RETRY_S = 5
ROOM_RETRY_S = 1


@dataclass(frozen=True, slots=True)
class Gateway:
    """Serves requests; see the module's text."""

    table: Table
    carrier: Carrier
    ledger: Ledger
    engines: EngineCanceller
    running: Running
    abroad: Abroad
    limits: Limits
    quotas: Quotas
    observer: Observer = field(default_factory=Observer)

    async def serve(self, call: Call, reply: Reply, interrupt: Interrupt) -> None:
        """Answers one request through `reply`, whatever happens. `interrupt` was made by this task.

        Only a fault of this program is raised, after the request is settled as failed.
        """
        endpoint = self.table.find(call.endpoint)
        if endpoint is None:
            # Nobody's account: there is no endpoint that it could be charged to.
            self.observer.sums.unknown += 1
            await reply.fail(self.table.missing(call.endpoint), NOTHING)
            return
        trip = self._trip(call, endpoint, reply)
        self.running.enter(interrupt, trip.entry.began, endpoint.id)
        try:
            await self._carry(trip)
        except asyncio.CancelledError:
            cut = interrupt.disarm()
            if cut is None:
                trip.entry.end(RequestOutcome.FAILED, _SERVER_ERROR, Cut.STOPPED)
                raise
            await self._interrupted(trip, cut)
        except PenstockError as error:
            interrupt.disarm()
            await self._failed(trip, error)
        finally:
            trip.entry.end(RequestOutcome.FAILED, _SERVER_ERROR, "a fault of the server")
            self.carrier.close(trip)
            self.abroad.close(trip)
            self._leave(trip)
            interrupt.disarm()
            self.running.leave(interrupt)
            self.observer.ended(trip)

    def _trip(self, call: Call, endpoint: EndpointRoute, reply: Reply) -> Trip:
        trace, entry = self.observer.begin(call.trace), self.ledger.open(call, endpoint)
        if trace is not None:
            entry.trace_id = trace.context.trace_id
            if trace.keeps_text:
                reply = Recording(reply, call.body)
        return Trip(call, endpoint, entry, reply, call.own or self.ledger.watch(), trace=trace)

    async def _carry(self, trip: Trip) -> None:
        task = self._check(trip)
        trip.entity = trip.entry.entity = self.carrier.route(trip)
        with self.table.activity(trip.endpoint.id, trip.entity):
            if trip.endpoint.pay_per_token:
                await self._take(trip, task)
            if trip.endpoint.limits:
                await self._reserve(trip, task)
            if trip.endpoint.is_external:
                await self.abroad.carry(trip)
                return
            first = await self.carrier.open(trip, PATHS[task])
            trip.entry.speak()
            if trip.tail is None:
                await self._whole(trip, _opened(trip), first)
            else:
                await self._stream(trip, _opened(trip), trip.tail, first)

    def _check(self, trip: Trip) -> Task:
        """The task that is asked for; raises PenstockError if this request may not be served."""
        call, endpoint = trip.call, trip.endpoint
        if self.running.draining:
            raise Temporary(
                "The server is stopping; another one, or this one started again, will answer.", DRAINING_RETRY_S
            )
        require_query(call.caller, endpoint.acl, endpoint.name, endpoint.id)
        task = _task(call, endpoint)
        asked = call.read(task, call.body)
        trip.task, trip.asked = task, asked
        trip.entry.streaming = asked.streaming
        trip.entry.client_request_id = asked.client_request_id
        return task

    async def _reserve(self, trip: Trip, task: Task) -> None:
        asked, endpoint, principal = trip.asked, trip.endpoint, trip.call.caller.principal
        if asked is None:
            return
        size = self.carrier.size(trip, task, asked)
        try:
            trip.held = await self.limits.enter(endpoint, principal, asked, size, trip.own)
        finally:
            trip.reply.limited(self.limits.headers(endpoint.id, principal))

    async def _take(self, trip: Trip, task: Task) -> None:
        if trip.asked is not None:
            size = self.carrier.size(trip, task, trip.asked)
            trip.taken = await self.quotas.enter(trip.endpoint.name, trip.asked, size, trip.own)

    def _leave(self, trip: Trip) -> None:
        entry = trip.entry
        whole = entry.outcome in (RequestOutcome.COMPLETED, RequestOutcome.REJECTED)
        if trip.held is not None:
            self.limits.leave(trip.held, entry.usage, sent=entry.sent, whole=whole)
        if trip.taken is not None:
            self.quotas.leave(trip.taken, entry.usage, sent=entry.sent, whole=whole)

    async def _whole(self, trip: Trip, answer: Answer, body: bytes) -> None:
        entry, status = trip.entry, answer.status
        if status >= _CLIENT_ERROR and not answer.content_type.startswith(_JSON):
            raise EngineFailed(f"The engine failed with status {status}.")
        if status == _TOO_MANY and entry.within:
            # What was bought is never refused: that the engine has no room for it is our fault, and a breach.
            raise Temporary("The engine had no room for this request, which its endpoint has bought.", ROOM_RETRY_S)
        entry.usage = replace(usage_of(body) or NOTHING, measured_s=answer.measured_s)
        # Settled first: whoever has seen the whole answer finds it in the ledger.
        if status < _CLIENT_ERROR:
            entry.end(RequestOutcome.COMPLETED, status)
        elif status < _SERVER_ERROR:
            entry.end(RequestOutcome.REJECTED, status, "refused by the engine")
        else:
            entry.end(RequestOutcome.FAILED, status, "the engine failed")
        await trip.reply.whole(status, answer.content_type, trip.entity, body, answer.retry_after)

    async def _stream(self, trip: Trip, answer: Answer, tail: Tail, events: bytes) -> None:
        entry, reply = trip.entry, trip.reply
        await reply.begin(answer.status, answer.content_type, trip.entity)
        while events:
            if tail.done:
                entry.usage = tail.usage() or NOTHING
                entry.end(RequestOutcome.COMPLETED, answer.status)
            self.carrier.passed_on(trip, events)
            if trip.held is not None:
                trip.held.stream(events.count(END))
            if trip.taken is not None:
                trip.taken.stream(events.count(END))
            await reply.send(events)
            events = await next_events(answer, tail)
        if not tail.done:
            entry.usage = tail.usage() or NOTHING
            entry.end(RequestOutcome.FAILED, _SERVER_ERROR, "the engine failed")
        await reply.end()

    async def _interrupted(self, trip: Trip, cut: Cut) -> None:
        """The request is ended in the engine too, which knows best what it used."""
        if trip.entry.ended:
            return
        used = trip.used(computing=True)
        if trip.passed is not None:
            told = await self.engines.cancel(trip.passed.replica.address, trip.call.request_id)
            if told is UNTOLD:
                told = used if used.prompt_tokens else self.carrier.guessed(trip)
            used = told or used
        trip.entry.usage = used
        if cut is Cut.GONE:
            trip.entry.end(RequestOutcome.CANCELLED, _CLIENT_GONE, cut)
            return
        error = self._why(cut)
        # Who deletes an endpoint ends what runs of it: no promise is broken.
        outcome = RequestOutcome.CANCELLED if cut is Cut.DELETED else RequestOutcome.FAILED
        trip.entry.end(outcome, trip.reply.status(error), cut)
        await trip.reply.fail(error, trip.entry.usage)

    def _why(self, cut: Cut) -> PenstockError:
        """What the client is told."""
        if cut is Cut.OVERDUE:
            return DeadlineExceeded(f"The request was not answered within {self.running.limit_s:.0f} seconds.")
        if cut is Cut.DELETED:
            return EndpointNotFound(
                f"The endpoint was deleted, and this request did not end within {self.running.drain_s:.0f} seconds."
            )
        return Temporary("The server is stopping and has ended this request.", DRAINING_RETRY_S)

    async def _failed(self, trip: Trip, error: PenstockError) -> None:
        if trip.entry.within and isinstance(error, Overloaded):
            # As in `_whole`.
            error = Temporary(error.message, error.retry_after_s)
        rejected = isinstance(error, _REJECTIONS) or not trip.entry.admitted
        trip.entry.usage = trip.used()
        if trip.tail is not None:
            self.carrier.lose(trip)
        outcome = RequestOutcome.REJECTED if rejected else RequestOutcome.FAILED
        trip.entry.end(outcome, trip.reply.status(error), error.message)
        await trip.reply.fail(error, trip.entry.usage)


def _task(call: Call, endpoint: EndpointRoute) -> Task:
    if endpoint.task is None:
        raise InvalidRequest(endpoint.problem or f"The task of endpoint '{endpoint.name}' is not known.")
    if call.task is not None and call.task is not endpoint.task:
        raise InvalidRequest(
            f"Endpoint '{endpoint.name}' serves the task {endpoint.task}, but this route is for {call.task}."
        )
    return endpoint.task


def _opened(trip: Trip) -> Answer:
    if trip.answer is None:
        raise EngineFailed
    return trip.answer
