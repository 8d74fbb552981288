"""What versions run on: themselves, or the base models of LoRA adapters."""

from penstock.control.grants import require_model
from penstock.domain.access import Principal
from penstock.domain.adapter import TAG, BaseName, base_name, no_base, served_task
from penstock.domain.catalog import ModelVersion, VersionStatus
from penstock.domain.errors import InvalidParameter
from penstock.domain.foundation import Foundation
from penstock.domain.grant import Privilege
from penstock.domain.names import ModelName
from penstock.domain.version_filter import VersionFilter
from penstock.ports.engine import EngineRecipe
from penstock.ports.store import Unit

MOST_VERSIONS = 1000
"""Of a model are looked at for its newest that is ready."""


class Bases:
    """Finds them in the catalogue. `foundation` tells which models hub repositories are."""

    def __init__(self, recipe: EngineRecipe, foundation: Foundation | None = None) -> None:
        self._recipe = recipe
        models = foundation.models if foundation is not None else ()
        self._repositories = {one.repository.lower(): one for one in models}

    async def of(self, unit: Unit, version: ModelVersion, principal: Principal) -> ModelVersion:
        """What an engine loads to serve the version: itself, or its base.

        Raises InvalidParameter with the reason if it cannot be served, PermissionDenied if its base may not be used.
        """
        if why := problem(version):
            raise InvalidParameter(why)
        if not is_adapter(version):
            return version
        base = await self._base(unit, version)
        if base != version:
            await require_model(unit, principal, base.name, Privilege.EXECUTE)
        assert base.facts is not None
        if base.facts.task is None:
            raise InvalidParameter(f"{version.label} cannot be served: it has no task.")
        if not self._recipe.adapts(base.facts):
            kind = base.facts.architecture or "its"
            raise InvalidParameter(
                f"{version.label} is a LoRA adapter of {base.label}: adapters of {kind} models cannot be served; merge "
                "it into its base model and register that."
            )
        served_task(version, base)
        return base

    async def _base(self, unit: Unit, version: ModelVersion) -> ModelVersion:
        """The base that is named; without one that is here, the weights that lie beside the adapter."""
        name = base_name(version)
        base, why = await self._named(unit, name)
        if base is None and _has_weights(version) and TAG not in dict(version.tags):
            return version
        if base is None:
            raise no_base(version, name, why)
        if problem(base) or is_adapter(base):
            raise no_base(version, name, problem(base) or f"{base.label} is an adapter itself.")
        return base

    async def _named(self, unit: Unit, name: BaseName) -> tuple[ModelVersion | None, str]:
        """The version, or why there is none."""
        if name.model is not None and name.number is not None:
            found = await unit.catalog.version(str(name.model), name.number)
            return found, f"there is no version {name.number} of model '{name.model}'."
        if name.model is not None:
            return await _newest(unit, name.model), f"there is no version of model '{name.model}' that is ready."
        known = self._repositories.get(name.repository.lower()) if name.repository else None
        if known is None:
            return None, "that is no model here."
        why = f"the weights of its base are not here, and {known.pull} brings them."
        return await _newest(unit, known.full_name), why


def _has_weights(version: ModelVersion) -> bool:
    return version.facts is not None and version.facts.shape is not None


def is_adapter(version: ModelVersion) -> bool:
    """Whether it is a LoRA adapter."""
    return version.facts is not None and version.facts.adapter is not None


def problem(version: ModelVersion) -> str:
    """Why a version cannot be served, empty if it can; what an adapter runs on is another question."""
    if version.status is not VersionStatus.READY or version.facts is None:
        return f"{version.label} is {version.status.value}, not READY. {version.status_message}".strip()
    if version.facts.problem is not None:
        return f"{version.label} cannot be served: {version.facts.problem}"
    if version.facts.task is None and not is_adapter(version):
        return f"{version.label} cannot be served: it has no task."
    return ""


async def _newest(unit: Unit, model: ModelName) -> ModelVersion | None:
    found = await unit.catalog.versions(VersionFilter(model=str(model)), limit=MOST_VERSIONS)
    return next((one for one in found if one.status is VersionStatus.READY and not is_adapter(one)), None)
