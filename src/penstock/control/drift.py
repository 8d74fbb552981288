"""Watches whether production's requests take what their profiles say, and marks those that do not hold any more."""

import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from penstock.control.offers import Appraisal, Offers
from penstock.domain.drift import SLICES, Drift, Errors, Flight, Meter, Subject, observe
from penstock.domain.profile import Profile
from penstock.domain.scaling import Kind
from penstock.domain.scaling_record import ScalingRecord
from penstock.domain.usage import RequestRecord
from penstock.ports.capacity import Capacity
from penstock.ports.clock import Clock
from penstock.ports.store import Store

UNREAD_LIMIT = 200_000
"""Requests kept between two steps; of what is more, nothing is told."""
LATEST_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    """What serves: appraisals by spec, (endpoint id, served entity, spec) of what is active, and measured profiles."""

    appraisals: Mapping[str, Appraisal]
    served: Sequence[tuple[str, str, str]]
    profiles: Mapping[Subject, Profile]


class DriftWatch:
    """Hears of every request that has ended (`hear`) and looks at them every few seconds (`step`).

    `window_s` is what it looks back. What it knows is in memory: after a restart it begins anew.
    """

    def __init__(self, store: Store, offers: Offers, capacity: Capacity, clock: Clock, *, window_s: float) -> None:
        self._store = store
        self._offers = offers
        self._capacity = capacity
        self._clock = clock
        self._slice_s = window_s / SLICES
        self.period_s = min(self._slice_s, LATEST_S)
        self._unread: list[RequestRecord] = []
        self._replicas: dict[str, tuple[str, str]] = {}
        self._meters: dict[str, Meter] = {}
        self._errors: dict[Subject, Errors] = {}

    def hear(self, records: Sequence[RequestRecord]) -> None:
        """Requests have ended."""
        sent = [one for one in records if one.replica_id]
        self._unread += sent[: max(UNREAD_LIMIT - len(self._unread), 0)]

    def of(self, profile: Profile) -> Drift | None:
        """How far production is from that profile; None if nothing was seen of it yet."""
        errors = self._errors.get(Subject(profile.fingerprint, profile.measured_at))
        return errors.drift(self._clock.now_ms() / 1000) if errors is not None else None

    async def step(self) -> str:
        """Counts what was heard; marks the profiles that drifted, and returns a sentence for each."""
        known = await self._known({record.replica_id for record in self._unread})
        unread, self._unread = self._unread, []
        for record in unread:
            self._count(record, known)
        now = self._clock.now_ms() / 1000
        for meter in self._meters.values():
            for one in meter.close(now):
                if (seen := observe(one, self._slice_s, known.profiles)) is not None:
                    self._errors.setdefault(seen[0], Errors(self._slice_s)).add(now, seen[1])
        self._errors = {subject: errors for subject, errors in self._errors.items() if subject in known.profiles}
        said = [await self._judge(profile, known) for profile in known.profiles.values()]
        return "; ".join(sentence for sentence in said if sentence)

    async def _known(self, heard_of: AbstractSet[str]) -> _Known:
        async with self._store.unit() as unit:
            live = await unit.replicas.live()
            endpoints = await unit.endpoints.list()
        # A replica that has ended since the last step may still have requests to tell of.
        ended = {key: place for key, place in self._replicas.items() if key in heard_of}
        self._replicas = ended | {one.id: (one.spec, one.device) for one in live}
        entities = [(one.id, entity) for one in endpoints if one.active for entity in one.active.entities]
        appraisals = await self._offers.of_entities(entity for _, entity in entities)
        profiles = [one.profile for one in appraisals.values() if one.profile is not None]
        return _Known(
            appraisals,
            [(key, entity.name, entity.spec) for key, entity in entities],
            {Subject(one.fingerprint, one.measured_at): one for one in profiles},
        )

    def _count(self, record: RequestRecord, known: _Known) -> None:
        spec, device = self._replicas.get(record.replica_id, ("", ""))
        appraisal = known.appraisals.get(spec)
        if appraisal is None or appraisal.profile is None:
            return
        used, began = record.usage, (record.received_at + record.queue_ms) / 1000
        flight = Flight(
            Subject(appraisal.fingerprint, appraisal.profile.measured_at),
            began,
            max((record.received_at + record.duration_ms) / 1000, began),
            record.device_s,
            used.measured_s,
        )
        self._meters.setdefault(device, Meter(self._slice_s)).add(flight)

    async def _judge(self, profile: Profile, known: _Known) -> str:
        drift = self.of(profile)
        if drift is None or not drift.beyond or profile.stale:
            return ""
        async with self._store.unit() as unit:
            await unit.profiles.mark(profile.fingerprint, profile.measured_at, drift.sentence)
            await unit.scaling.add(self._notes(profile, known, drift.sentence))
        _log.warning("the profile of %s does not hold any more: %s", profile.fingerprint.version, drift.sentence)
        return f"{profile.fingerprint.version} is marked to be measured again"

    def _notes(self, profile: Profile, known: _Known, sentence: str) -> list[ScalingRecord]:
        """A line in the decisions of its endpoints: their allotments stay, but are not worth what they say."""
        specs = {spec for spec, one in known.appraisals.items() if one.fingerprint == profile.fingerprint}
        served = {(endpoint_id, entity) for endpoint_id, entity, spec in known.served if spec in specs}
        return [
            ScalingRecord(
                endpoint_id=one.endpoint_id,
                entity=one.entity,
                at=self._clock.now_ms(),
                old=one.allotment,
                new=one.allotment,
                kind=Kind.DRIFTED,
                reason=f"{sentence} The version is measured again when its device is idle.",
                chunk=one.chunk,
                mean=0.0,
                burst=0.0,
                backlog=one.backlog,
                wanted=round(one.allotment / one.chunk) if one.chunk else 0,
                free=0.0,
            )
            for one in self._capacity.readings()
            if (one.endpoint_id, one.entity) in served
        ]
