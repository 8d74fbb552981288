"""The ledger's minutes: counts requests and promises as they come, and closes what is over.

A minute is closed two minutes after its end and never changed again, so that a request that is that long is counted
when it ran; of a longer one, what falls into closed minutes counts in the first that is open. All that is counted is
in the database too: after a kill, or a failed write, it is read again from there.
"""

from collections.abc import Callable, Mapping, Sequence

from penstock.domain.ledger_chain import BEGINNING
from penstock.domain.ledger_entry import MINUTE_MS, entered, minute_of
from penstock.domain.ledger_hour import HOUR_MS, Hours, LedgerHour, hour_of
from penstock.domain.ledger_minute import Key, LedgerMinute
from penstock.domain.ledger_sums import Promise
from penstock.domain.ledger_tally import Tallies, close
from penstock.domain.usage import RequestRecord
from penstock.ports.capacity import Reading
from penstock.ports.clock import Clock
from penstock.ports.store import Store, Unit

CLOSED_AFTER_S = 120
KEPT_EVERY_S = 10
"""How often promises are written, so that a kill costs that much of what is known of them at most."""
PAGE = 1000
SET_MS = 1000
"""By more than that, the clock did not run but was set."""
DAY_MS = 24 * HOUR_MS


class LedgerMinutes:
    """Open minutes. Belongs to the loop of `LedgerKeeper`: nothing of it runs beside itself."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        readings: Callable[[], Sequence[Reading]],
        *,
        closed_after_s: float = CLOSED_AFTER_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._readings = readings
        self._closed_after_ms = round(closed_after_s * 1000)
        self._known = self._began = False
        self._open_from = 0
        self._rolled_to = 0
        self._last = self._last_hour = BEGINNING
        self._tallies = Tallies()
        self._promises: dict[Key, Promise] = {}
        self._unkept: set[Key] = set()
        self._kept_at = 0.0
        self._held: Sequence[Reading] = ()
        self._held_at = 0
        self._looked_at = clock.monotonic()

    def doubt(self) -> None:
        """What the database holds is not sure, a write having failed: it is read before anything else is counted."""
        self._known = False

    async def resume(self) -> None:
        """Reads what is open; does nothing when it is known. Raises Temporary."""
        if self._known:
            return
        tallies = Tallies()
        async with self._store.unit() as unit:
            last, hour = await unit.ledger.last(), await unit.ledger.last_hour()
            self._rolled_to = hour.key.hour + HOUR_MS if hour else 0
            self._last_hour = (hour.number, hour.hash) if hour else BEGINNING
            self._open_from = max(self._open_from, last.key.minute + MINUTE_MS if last else 0, self._rolled_to)
            self._last = (last.number, last.hash) if last else BEGINNING
            after = (self._open_from, "")
            while page := await unit.requests.in_ledger(after, limit=PAGE):
                for record in page:
                    tallies.add(record)
                after = (page[-1].minute, page[-1].request_id)
            kept = await unit.ledger.promises()
        tallies.by_key = {key: tally for key, tally in tallies.by_key.items() if key.minute >= self._open_from}
        self._tallies = tallies
        # What was counted here since is newer than what was kept; what is closed is in neither.
        promises = {**kept, **self._promises}
        self._promises = {key: promise for key, promise in promises.items() if key.minute >= self._open_from}
        self._unkept &= self._promises.keys()
        self._known = self._began = True

    def sample(self) -> None:
        """Counts what was promised since the last time, and looks at what is promised now; waits for `resume`."""
        if not self._began:
            return
        now = self._clock.now_ms()
        # A clock that was set promises nothing for time that did not pass, nor twice for what it shows again.
        passed_ms = round((self._clock.monotonic() - self._looked_at) * 1000)
        at = max(self._held_at, self._open_from, now - passed_ms - SET_MS)
        while self._held and at < now:
            until = min(now, minute_of(at) + MINUTE_MS)
            for reading in self._held:
                key = Key(minute_of(at), reading.endpoint_id, reading.entity)
                before = self._promises.get(key, Promise())
                self._promises[key] = before.held(reading.allotment, reading.chunk, until - at)
                self._unkept.add(key)
            at = until
        self._held, self._held_at = tuple(self._readings()), max(now, self._held_at)
        self._looked_at = self._clock.monotonic()

    def placed(self, records: Sequence[RequestRecord]) -> Sequence[RequestRecord]:
        """The records as they are stored."""
        return [entered(record, self._open_from) for record in records]

    def stored(self, records: Sequence[RequestRecord], added: int) -> None:
        """Counts placed records, of which `added` are new. Some that are not: they are read again as they are."""
        if added != len(records):
            self.doubt()
            return
        for record in records:
            self._tallies.add(record)

    async def keep(self, *, now: bool = False) -> None:
        """Writes the promises that changed, from time to time or `now`. Raises Temporary."""
        moment = self._clock.monotonic()
        if not self._unkept or (not now and moment < self._kept_at + KEPT_EVERY_S):
            return
        async with self._store.unit() as unit:
            await unit.ledger.set_promises({key: self._promises[key] for key in self._unkept})
        self._unkept.clear()
        self._kept_at = moment

    async def close(self) -> str:
        """Closes the minutes that are over, and their hours; raises Temporary."""
        until = minute_of(self._clock.now_ms() - self._closed_after_ms)
        if until <= self._open_from:
            return ""
        tallies = {key: tally for key, tally in self._tallies.by_key.items() if key.minute < until}
        promises = {key: promise for key, promise in self._promises.items() if key.minute < until}
        rows: Sequence[LedgerMinute] = ()
        hours: Sequence[LedgerHour] = ()
        if tallies or promises or hour_of(until) > self._rolled_to:
            async with self._store.unit() as unit:
                rows = close(tallies, promises, await _names(unit, promises), self._last)
                await unit.ledger.add_minutes(rows)
                await unit.ledger.forget_promises(until)
                hours = await self._roll(unit, hour_of(until))
        self._rolled_to = hour_of(until)
        self._forget(tallies, promises)
        self._last = (rows[-1].number, rows[-1].hash) if rows else self._last
        self._last_hour = (hours[-1].number, hours[-1].hash) if hours else self._last_hour
        self._open_from = until
        return f"closed {len(rows)} minutes" if rows else ""

    async def _roll(self, unit: Unit, end: int) -> Sequence[LedgerHour]:
        """Sums the hours before `end` that are not summed yet, a day at a time; returns the last day's."""
        rows: Sequence[LedgerHour] = ()
        since, last = self._rolled_to, self._last_hour
        if not since:
            first = await unit.ledger.minutes(0, limit=1)
            since = hour_of(first[0].key.minute) if first else end
        while since < end:
            until = min(since + DAY_MS, end)
            if found := Hours(await unit.ledger.between(since, until)).rows(last):
                await unit.ledger.add_hours(found)
                rows, last = found, (found[-1].number, found[-1].hash)
            since = until
        return rows

    def _forget(self, tallies: Mapping[Key, object], promises: Mapping[Key, object]) -> None:
        for key in tallies:
            del self._tallies.by_key[key]
        for key in promises:
            del self._promises[key]
            self._unkept.discard(key)


async def _names(unit: Unit, promises: Mapping[Key, Promise]) -> Mapping[str, str]:
    """Endpoints' names by id; one that is gone has none."""
    found: dict[str, str] = {}
    for endpoint_id in {key.endpoint_id for key in promises}:
        endpoint = await unit.endpoints.by_id(endpoint_id)
        found[endpoint_id] = endpoint.name if endpoint else ""
    return found
