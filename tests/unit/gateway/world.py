"""A gateway on fakes, in virtual time, with clients that the tests play."""

import asyncio
from dataclasses import dataclass, field

from penstock.domain.access import USERS, Caller, Principal, PrincipalKind, Scope
from penstock.domain.model import Task
from penstock.domain.routing import EndpointRoute, EntityRoute, ReadyReplica
from penstock.domain.traffic import Route
from penstock.gateway.abroad import Abroad
from penstock.gateway.call import Asked, Call
from penstock.gateway.gate import Gate
from penstock.gateway.interrupt import Interrupt, Running
from penstock.gateway.ledger import Ledger
from penstock.gateway.limits import Limits
from penstock.gateway.observer import Observer
from penstock.gateway.quotas import Quotas
from penstock.gateway.relay import Carrier, Waits
from penstock.gateway.rooms import Rooms
from penstock.gateway.serve import Gateway
from penstock.gateway.table import Table
from penstock.testing.acl import OPEN
from penstock.testing.clock import FakeClock
from penstock.testing.journal import FakeJournal
from penstock.testing.provider import FakeProvider, FakeSecrets
from penstock.testing.relay import FakeEngines
from penstock.web.errors import STATUS

LIMIT_S = 597.0
DRAIN_S = 20.0
DONE = b"data: [DONE]\n\n"
USER = Caller(Principal("1", "ann@x.org", "Ann", PrincipalKind.USER, frozenset({USERS})), Scope.ALL_APIS, "t")
STRANGER = Caller(Principal("2", "eve@x.org", "Eve", PrincipalKind.USER, frozenset()), Scope.ALL_APIS, "u")


def event(completion, prompt=5):
    return b'data: {"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}\n\n' % (prompt, completion)


def replica(number, *, running=2, queue=1):
    return ReadyReplica(f"r{number}", f"unix:/r{number}", running, queue)


def endpoint(*replicas, name="guide", to_zero=False, task=Task.CHAT, problem="", startup_s=0.0, stuck="", limits=()):
    entity = EntityRoute("guide-1", replicas, to_zero, startup_s=startup_s, stuck=stuck)
    return EndpointRoute(
        "e1", name, "boss@x.org", task, (Route("guide-1", 100),), (entity,), problem, limits=limits, acl=OPEN
    )


@dataclass
class Client:
    """A client's end; what it was sent is noted."""

    status_code: int = 0
    body: bytes = b""
    entity: str = ""
    retry_after: bytes = b""
    ends: int = 0
    error: Exception | None = None
    error_usage: object = None
    limits: dict = field(default_factory=dict)

    async def begin(self, status, content_type, entity, retry_after=b""):
        assert not self.status_code
        assert content_type
        self.status_code, self.entity, self.retry_after = status, entity, retry_after

    async def send(self, chunk):
        assert not self.ends
        self.body += chunk

    async def end(self):
        self.ends += 1

    async def whole(self, status, content_type, entity, body, retry_after=b""):
        await self.begin(status, content_type, entity, retry_after)
        self.body = body
        self.ends += 1

    def limited(self, headers):
        self.limits = dict(headers)

    def status(self, error):
        return STATUS[error.code]

    async def fail(self, error, usage):
        assert self.error is None
        self.error, self.error_usage = error, usage
        self.ends += 1


@dataclass
class Demands:
    """See `penstock.ports.routing.Demand`."""

    asked: list = field(default_factory=list)
    gone: list = field(default_factory=list)

    def ask(self, endpoint_id, entity):
        self.asked.append((endpoint_id, entity))

    def lost(self, replica_id):
        self.gone.append(replica_id)


class Request:
    """One request under way. Its engine's side is `world.engines`, by its id."""

    def __init__(self, world, request_id, call):
        self.id = request_id
        self.client = Client()
        self.interrupt = None
        self.task = asyncio.ensure_future(self._run(world, call))

    async def _run(self, world, call):
        self.interrupt = Interrupt()
        await world.gateway.serve(call, self.client, self.interrupt)


class World:
    """All of it."""

    def __init__(self, *, most_waiting=64, quotas=None, signs=None, observer=None):
        self.clock = FakeClock()
        self.gate = Gate(self.clock)
        self.rooms = Rooms(self.clock)
        self.limits = Limits(self.clock)
        self.running = Running(self.clock, LIMIT_S, DRAIN_S)
        self.observer = observer or Observer()
        self.table = Table(self.clock, self.gate, self.limits, self.running, self.observer, signs=signs)
        self.engines = FakeEngines()
        self.demand = Demands()
        self.provider, self.secrets = FakeProvider(), FakeSecrets()
        self.journal = FakeJournal()
        self.point = 0.0
        carrier = Carrier(
            self.table, self.gate, self.engines, self.demand,
            rooms=self.rooms, waits=Waits(most=most_waiting), pick=lambda: self.point,
        )  # fmt: skip
        self.gateway = Gateway(
            self.table,
            carrier,
            Ledger(self.journal, self.clock),
            self.engines,
            self.running,
            Abroad(self.provider, self.secrets),
            self.limits,
            Quotas(self.clock, quotas),
            self.observer,
        )
        self.count = 0

    async def ask(
        self,
        *,
        streaming=False,
        name="guide",
        caller=USER,
        entity=None,
        task=None,
        read=None,
        patience_s=None,
        trace=None,
        own=None,
        body=b"{}",
        **asked,
    ):
        """Begins a request and lets it go as far as it can."""
        self.count += 1
        request_id = f"q{self.count}"

        def plain(_task, _body):
            return Asked(streaming, f"mine-{request_id}", **asked)

        how = {"patience_s": patience_s, "own": own, "trace": trace}
        call = Call(request_id, caller, name, entity, task, body, read or plain, **how)
        request = Request(self, request_id, call)
        await self.clock.settle()
        return request

    def begin(self, request, *, events=False):
        """The engine begins to answer."""
        return self.engines.begin(request.id, events=events)

    async def settle(self):
        await self.clock.settle()

    def record(self, request):
        """The request's one record."""
        (record,) = [record for record in self.journal.records if record.request_id == request.id]
        return record
