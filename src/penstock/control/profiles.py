"""Profiles on demand: measuring a version when somebody asks for it, and telling how that goes."""

from dataclasses import dataclass

from penstock.control.bases import is_adapter, problem
from penstock.control.offers import Appraisal, Offers
from penstock.control.profiler import Profiler
from penstock.control.remeasuring import Remeasuring
from penstock.domain.access import Caller
from penstock.domain.catalog import check_owner
from penstock.domain.errors import Conflict, DoesNotExist, InvalidParameter
from penstock.domain.model import Precision
from penstock.domain.names import ModelName
from penstock.domain.profile import Profile
from penstock.ports.store import Store

MOST_S = 3600.0
WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Wish:
    """How to measure: at about what length, how long to wait for an idle device, in which precision (the usual one)."""

    budget_s: float | None = None
    wait_s: float | None = None
    precision: Precision | None = None


@dataclass(frozen=True, slots=True)
class Profiling:
    """How the measurement of a version goes: `progress` from 0 to 1 while one runs, and what it is `doing`.

    `failure` is that of the last that was asked for, empty if it went well.
    """

    progress: float | None
    doing: str
    failure: str
    profile: Profile | None


class Profiles:
    """Starts measurements, and tells how they go; for administrators and the owner."""

    def __init__(self, store: Store, offers: Offers, profiler: Profiler, remeasuring: Remeasuring) -> None:
        self._store = store
        self._offers = offers
        self._profiler = profiler
        self._remeasuring = remeasuring

    async def start(self, caller: Caller, name: ModelName, number: int, wish: Wish) -> Profiling:
        """Starts one, or does nothing while one runs.

        Raises DoesNotExist; PermissionDenied; InvalidParameter if a time is out of range; Conflict if the version
        cannot be served, or no replica of it is ready and there is no memory for an engine.
        """
        if wish.budget_s is not None and not 0 < wish.budget_s <= MOST_S:
            raise InvalidParameter(f"budget_s must be more than 0 and at most {MOST_S:.0f} seconds.")
        if wish.wait_s is not None and not 0 <= wish.wait_s <= MOST_S:
            raise InvalidParameter(f"wait_s must be at least 0 and at most {MOST_S:.0f} seconds.")
        appraisal = await self._appraise(caller, name, number, wish.precision)
        wait_s = WAIT_S if wish.wait_s is None else wish.wait_s
        await self._remeasuring.ask(appraisal, budget_s=wish.budget_s, wait_s=wait_s)
        return self._told(appraisal)

    async def get(self, caller: Caller, name: ModelName, number: int, precision: Precision | None = None) -> Profiling:
        """How it goes, and the profile there is; raises DoesNotExist, PermissionDenied, or Conflict if unservable."""
        return self._told(await self._appraise(caller, name, number, precision))

    async def _appraise(self, caller: Caller, name: ModelName, number: int, precision: Precision | None) -> Appraisal:
        async with self._store.unit() as unit:
            model = await unit.catalog.model(name)
            version = await unit.catalog.version(str(name), number)
        if model is None or version is None:
            raise DoesNotExist(f"Version {number} of model '{name}' does not exist.")
        check_owner(caller, model.owner, f"measure {version.label}")
        if why := problem(version):
            raise Conflict(why)
        if is_adapter(version):
            raise Conflict(f"{version.label} is a LoRA adapter, which is sold by its base's profile: measure that.")
        appraisal = await self._offers.of_version(version, precision)
        if why := appraisal.offer.problem:
            raise Conflict(why)
        return appraisal

    def _told(self, appraisal: Appraisal) -> Profiling:
        errand = self._remeasuring.errand(appraisal.fingerprint)
        progress = self._profiler.progress(appraisal.fingerprint)
        if errand is None:
            return Profiling(progress, "" if progress is None else "measuring", "", appraisal.profile)
        if progress is None and not errand.over:
            progress = 0.0
        return Profiling(progress, errand.doing, errand.failure, appraisal.profile)
