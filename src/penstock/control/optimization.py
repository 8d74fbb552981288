"""Whether a model version can be provisioned, and in which chunks its throughput is sold."""

from dataclasses import dataclass

from penstock.control.grants import require_model
from penstock.control.offers import Offers
from penstock.domain.access import Caller
from penstock.domain.errors import DoesNotExist, InvalidParameter
from penstock.domain.grant import Privilege
from penstock.domain.names import ModelName
from penstock.domain.profile import Profile
from penstock.domain.tenancy import Terms
from penstock.domain.throughput import Chunks
from penstock.ports.store import Store


@dataclass(frozen=True, slots=True)
class OptimizationInfo:
    """What is said of a version. Without `chunks` it cannot be served, and `problem` says why.

    `profile` is None while the chunks are only estimated. `terms` are what its requests cost at the gate. `base` is
    what an adapter runs on, as "catalog.schema.model/version".
    """

    problem: str
    model_type: str | None
    chunks: Chunks | None
    profile: Profile | None
    terms: Terms | None = None
    base: str = ""


class Optimization:
    """Answers from profiles, or estimates."""

    def __init__(self, store: Store, offers: Offers) -> None:
        self._store = store
        self.offers = offers

    async def info(self, caller: Caller, name: ModelName, number: int) -> OptimizationInfo:
        """Of one version, an adapter's as its base's, by engines with room for it.

        Raises DoesNotExist, or PermissionDenied without EXECUTE on its model and its base.
        """
        async with self._store.unit() as unit:
            await require_model(unit, caller.principal, name, Privilege.EXECUTE)
            version = await unit.catalog.version(str(name), number)
            if version is None:
                raise DoesNotExist(f"Version {number} of model '{name}' does not exist.")
            try:
                base = await self.offers.bases.of(unit, version, caller.principal)
            except InvalidParameter as error:
                return OptimizationInfo(error.message, version.facts.model_type if version.facts else None, None, None)
        adapter = version.facts.adapter if version.facts else None
        ranks = {f"{version.model}/{version.number}": adapter.rank} if adapter else {}
        appraisal = await self.offers.of_version(base, more=ranks)
        if why := appraisal.offer.problem:
            return OptimizationInfo(why, appraisal.facts.model_type, None, None)
        return OptimizationInfo(
            "",
            appraisal.facts.model_type,
            appraisal.offer.chunks,
            appraisal.profile,
            appraisal.terms,
            f"{base.model}/{base.number}" if adapter else "",
        )
