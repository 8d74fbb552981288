"""A gateway on fakes."""

from penstock.gateway.abroad import Abroad
from penstock.gateway.gate import Gate
from penstock.gateway.interrupt import Running
from penstock.gateway.ledger import Ledger
from penstock.gateway.limits import Limits
from penstock.gateway.observer import Observer
from penstock.gateway.quotas import Quotas
from penstock.gateway.relay import Carrier, Waits
from penstock.gateway.rooms import Rooms
from penstock.gateway.serve import Gateway
from penstock.gateway.table import Table
from penstock.ports.clock import Clock
from penstock.testing.journal import FakeJournal
from penstock.testing.provider import FakeProvider, FakeSecrets
from penstock.testing.relay import FakeEngines


class NoDemand:
    """See `penstock.ports.routing.Demand`. Nobody hears it."""

    def ask(self, endpoint_id: str, entity: str) -> None:
        """Nothing."""

    def lost(self, replica_id: str) -> None:
        """Nothing."""


def fake_gateway(clock: Clock, observer: Observer | None = None) -> Gateway:
    """A gateway without endpoints, with `FakeEngines` behind it."""
    gate, engines, observer = Gate(clock), FakeEngines(), observer or Observer()
    table = Table(clock, gate, limits := Limits(clock), observer)
    carrier = Carrier(table, gate, engines, NoDemand(), rooms=Rooms(clock), waits=Waits(), pick=lambda: 0.5)
    abroad = Abroad(FakeProvider(), FakeSecrets())
    ledger, running = Ledger(FakeJournal(), clock), Running(clock, 597.0)
    return Gateway(table, carrier, ledger, engines, running, abroad, limits, Quotas(clock), observer)
