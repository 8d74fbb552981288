"""What this device can do for model versions: measured where it was, estimated until then."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from penstock.control.bases import Bases, problem
from penstock.control.rooms import Ranks, Rooms
from penstock.domain.catalog import ModelVersion
from penstock.domain.estimate import BATCH, estimate
from penstock.domain.foundation import Foundation
from penstock.domain.model import ModelFacts, Precision
from penstock.domain.placement import Device, Offer
from penstock.domain.profile import CostModel, Fingerprint, Profile, reference_shape
from penstock.domain.served_entity import ServedEntity, spec_of
from penstock.domain.tenancy import Terms, fixed_step_s
from penstock.domain.throughput import Chunks, divide
from penstock.ports.cluster import Cluster
from penstock.ports.engine import EngineRecipe, Gauge, Needs
from penstock.ports.store import Store, Unit


@dataclass(frozen=True, slots=True)
class Appraisal:
    """All that is known of running one version with one precision here, by engines with `room` for adapters.

    `profile` is None until it is measured; `cost` is the cost model, measured or estimated.
    """

    version: ModelVersion
    facts: ModelFacts
    precision: Precision
    needs: Needs
    fingerprint: Fingerprint
    profile: Profile | None
    cost: CostModel
    offer: Offer
    room: int = 0

    @property
    def terms(self) -> Terms:
        """What its requests cost, and what a replica holds at once."""
        tokens_in, tokens_out = workload(self.facts)
        return Terms(
            throughput=self.offer.chunks.throughput,
            knee=self.profile.knee if self.profile else BATCH,
            cost=self.cost,
            fixed_s=fixed_step_s(self.profile) if self.profile else 0.0,
            running=self.needs.max_running,
            kv_tokens=self.needs.kv_tokens,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """Bytes that a replica would take and that a device has; tokens per second of the reference workload, and a chunk.

    All but the device's memory is estimated. `refusal` says why no engine here serves it, empty if one does.
    """

    memory: int
    device_memory: int
    throughput: float
    chunk: int
    precision: Precision
    refusal: str = ""

    @property
    def fits(self) -> bool:
        """Whether an empty device has room for a replica."""
        return self.memory <= self.device_memory


class Offers:
    """Appraises versions for the devices that they run on; those of one kind are alike."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        recipe: EngineRecipe,
        gauge: Gauge,
        foundation: Foundation | None = None,
    ) -> None:
        """`foundation` tells what adapters of hub repositories run on."""
        self.bases = Bases(recipe, foundation)
        self.rooms = Rooms()
        self._store = store
        self._cluster = cluster
        self._recipe = recipe
        self._gauge = gauge

    def default_precision(self, facts: ModelFacts) -> Precision:
        """The precision where none is asked for."""
        return self._recipe.precision(facts)

    def normal(self, entity: ServedEntity, version: ModelVersion) -> ServedEntity:
        """The entity of that version, which knows whether the precision that it asks for is the usual one."""
        if entity.precision is None or version.facts is None or problem(version):
            return entity
        return replace(entity, precision_is_usual=entity.precision is self._recipe.precision(version.facts))

    async def devices(self) -> Sequence[Device]:
        """The devices that engines run on."""
        return await self._cluster.devices()

    async def of_entities(
        self, entities: Iterable[ServedEntity], more: Mapping[str, Ranks] | None = None
    ) -> dict[str, Appraisal]:
        """By spec; those whose version is gone or cannot be served are left out (see `problem`).

        As they are sold now, or as if `more` adapters were served too, by spec. The offer of what no engine here takes
        has the reason as its problem.
        """
        distinct = {entity.spec: entity for entity in entities}
        devices = await self._cluster.devices()
        async with self._store.unit() as unit:
            found = {
                spec: await self._subject(unit, version, entity.precision, spec, (more or {}).get(spec, {}))
                for spec, entity in distinct.items()
                if (version := await unit.catalog.version(entity.runs[0], int(entity.runs[1]))) and not problem(version)
            }
        return {spec: await self._appraise(spec, one, devices) for spec, one in found.items()}

    async def of_version(
        self, version: ModelVersion, precision: Precision | None = None, more: Ranks | None = None
    ) -> Appraisal:
        """One version that an engine loads (see `Bases`), which must be servable; `more`: see `of_entities`."""
        devices = await self._cluster.devices()
        assert version.facts is not None
        usual = precision is self._recipe.precision(version.facts)
        spec = spec_of(version.model, str(version.number), None if usual else precision)
        async with self._store.unit() as unit:
            one = await self._subject(unit, version, precision, spec, more or {})
        return await self._appraise(version.label, one, devices)

    async def forecast(self, facts: ModelFacts) -> Forecast:
        """What a model that is not here would do here, by its sizes alone."""
        precision = self._recipe.precision(facts)
        device = self._device(facts, precision, await self._cluster.devices())
        guess = estimate(facts, precision, await self._gauge.speed(device.kind))
        needs, why = self._recipe.needs(facts, precision), self._recipe.refusal(facts, precision)
        chunk = divide(guess.throughput).chunk
        return Forecast(needs.memory, device.memory, guess.throughput, chunk, precision, refusal=why)

    async def _subject(
        self, unit: Unit, version: ModelVersion, wish: Precision | None, spec: str, more: Ranks
    ) -> "_Subject":
        facts = version.facts
        assert facts is not None
        precision = wish or self._recipe.precision(facts)
        ranks = {**self.rooms.ranks(spec), **more}
        room = max(self._recipe.room(facts, precision, list(ranks.values())), self.rooms.least(spec))
        device = self._device(facts, precision, await self._cluster.devices())
        fingerprint = self._fingerprint(version, facts, precision, device, room)
        return _Subject(version, facts, precision, room, fingerprint, await unit.profiles.get(fingerprint))

    def _device(self, facts: ModelFacts, precision: Precision, devices: Sequence[Device]) -> Device:
        """One of the devices that it runs on, for what they have in common."""
        kind = self._recipe.runs_on(facts, precision)
        return next((one for one in devices if one.kind == kind), devices[0])

    def _fingerprint(
        self, version: ModelVersion, facts: ModelFacts, precision: Precision, device: Device, room: int
    ) -> Fingerprint:
        # An engine with room is another one: its steps are dearer.
        engine = self._recipe.engine(facts, precision) + (f" with room for adapters of rank {room}" if room else "")
        return Fingerprint(f"{version.model}/{version.number}", engine, precision.value, device.device_class)

    async def _appraise(self, spec: str, of: "_Subject", devices: Sequence[Device]) -> Appraisal:
        version, facts, precision, profile = of.version, of.facts, of.precision, of.profile
        needs, device = self._recipe.needs(facts, precision, of.room), self._device(facts, precision, devices)
        if profile is None:
            guess = estimate(facts, precision, await self._gauge.speed(device.kind))
            throughput, cost = guess.throughput, guess.cost
        else:
            throughput, cost = profile.throughput, profile.cost
        memory = max(needs.memory, profile.memory if profile else 0)
        why = self._recipe.refusal(facts, precision)
        offer = Offer(
            spec,
            memory,
            divide(throughput),
            estimated=profile is None,
            problem=f"{version.label} cannot be served here: {why}." if why else "",
            kind=device.kind,
        )
        return Appraisal(version, facts, precision, needs, of.fingerprint, profile, cost, offer, of.room)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is appraised, and what was measured of it."""

    version: ModelVersion
    facts: ModelFacts
    precision: Precision
    room: int
    fingerprint: Fingerprint
    profile: Profile | None


def workload(facts: ModelFacts) -> tuple[int, int]:
    """The tokens in and out that the version is measured with."""
    return reference_shape(facts.context_length, encoder=facts.is_encoder)


def offers_of(entities: Iterable[ServedEntity], appraisals: Mapping[str, Appraisal]) -> dict[str, Offer]:
    """An offer for every spec of the served entities; what cannot be run any more says so."""
    return {
        entity.spec: replace(appraisals[entity.spec].offer, spec=entity.spec)
        if entity.spec in appraisals
        else Offer(entity.spec, 0, Chunks(1, 1, 1.0), estimated=False, problem=_gone(entity))
        for entity in entities
    }


def _gone(entity: ServedEntity) -> str:
    model, number = entity.runs
    return f"Version {number} of model '{model}' is not there any more, or not servable."
