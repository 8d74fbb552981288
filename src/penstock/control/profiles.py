"""Measuring a version when somebody asks for it, with a replica that serves it."""

from dataclasses import dataclass

from penstock.control.offers import Appraisal, Offers, problem
from penstock.control.profiler import Job, Profiler
from penstock.control.watch import process_of
from penstock.domain.access import Caller
from penstock.domain.catalog import check_owner
from penstock.domain.errors import Conflict, DoesNotExist, InvalidParameter
from penstock.domain.names import ModelName
from penstock.domain.profile import Profile
from penstock.domain.replica import Replica, ReplicaState
from penstock.ports.store import Store

MOST_BUDGET_S = 3600.0


@dataclass(frozen=True, slots=True)
class Profiling:
    """How the measurement of a version goes: `progress` from 0 to 1 while one runs, `failure` of the last one."""

    progress: float | None
    failure: str
    profile: Profile | None


class Profiles:
    """Starts measurements with the version's own precision, and tells how they go; for administrators and the owner."""

    def __init__(self, store: Store, offers: Offers, profiler: Profiler) -> None:
        self._store = store
        self._offers = offers
        self._profiler = profiler

    async def start(self, caller: Caller, name: ModelName, number: int, *, budget_s: float | None = None) -> Profiling:
        """Starts one, or does nothing while one runs.

        Raises DoesNotExist; PermissionDenied; InvalidParameter if the budget is out of range; Conflict if the version
        cannot be served, or no replica of it is ready.
        """
        if budget_s is not None and not 0 < budget_s <= MOST_BUDGET_S:
            raise InvalidParameter(f"budget_s must be more than 0 and at most {MOST_BUDGET_S:.0f} seconds.")
        appraisal = await self._appraise(caller, name, number)
        ready = [one for one in await self._replicas(appraisal) if one.state is ReplicaState.READY]
        if not ready:
            raise Conflict(
                f"{appraisal.version.label} is measured with a replica that serves it, and none is ready:"
                " deploy an endpoint of the version first."
            )
        replica = ready[0]
        self._profiler.request(
            Job(
                replica_id=replica.id,
                address=replica.address,
                process=process_of(replica),
                fingerprint=appraisal.fingerprint,
                facts=appraisal.facts,
                startup_s=appraisal.profile.startup_s if appraisal.profile else 0.0,
                prior=appraisal.cost,
                max_running=appraisal.needs.max_running,
                again=True,
                budget_s=budget_s,
            )
        )
        return await self._told(appraisal)

    async def get(self, caller: Caller, name: ModelName, number: int) -> Profiling:
        """How it goes, and the profile there is. Raises what `start` raises, but for the replica."""
        return await self._told(await self._appraise(caller, name, number))

    async def _appraise(self, caller: Caller, name: ModelName, number: int) -> Appraisal:
        async with self._store.unit() as unit:
            model = await unit.catalog.model(name)
            version = await unit.catalog.version(str(name), number)
        if model is None or version is None:
            raise DoesNotExist(f"Version {number} of model '{name}' does not exist.")
        check_owner(caller, model.owner, f"measure {version.label}")
        if why := problem(version):
            raise Conflict(why)
        return await self._offers.of_version(version)

    async def _replicas(self, appraisal: Appraisal) -> list[Replica]:
        """Those that run the version in that precision."""
        version = appraisal.version
        asked = {"default", appraisal.precision.value}
        async with self._store.unit() as unit:
            live = await unit.replicas.live()
        return [
            one
            for one in live
            if (one.entity_name, one.entity_version) == (version.model, str(version.number))
            and one.spec.removeprefix(f"{version.model}/{version.number}/").split("/", 1)[0] in asked
        ]

    async def _told(self, appraisal: Appraisal) -> Profiling:
        statuses = [self._profiler.status(one.id) for one in await self._replicas(appraisal)]
        known = [status for status in statuses if status is not None]
        running = [status.progress for status in known if status.progress < 1.0]
        failures = [status.failure for status in known if status.failure]
        return Profiling(max(running, default=None), "; ".join(failures), appraisal.profile)
