"""The catalogue of foundation models: what the platform offers ready-made, whether its weights are here or not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum

from penstock.domain.billing import Price
from penstock.domain.endpoint import RESERVED_PREFIX
from penstock.domain.errors import DoesNotExist, InvalidParameter
from penstock.domain.model import Task
from penstock.domain.names import ModelName
from penstock.domain.quota import Quota
from penstock.domain.system import AI_SCHEMA

CURRENCY = "USD"
"""Of the catalogue's prices."""


class Lifecycle(StrEnum):
    """How long the platform goes on with a model that is paid by the token."""

    AVAILABLE = "available"
    DEPRECATED = "deprecated"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundationModel:
    """One model. `name` is its last level in `system.ai`; `revision` is a commit, tag or branch of its repository.

    `context` is in tokens. `gated`: its files are given out only to who has accepted its licence at the hub. A `base`
    model is not tuned to follow instructions, and is not served from `system.ai`. `system_prompt` is what its chat
    template says where a request has no system message.

    `endpoint` is where it is paid by the token, empty if nowhere, and `aliases` are other names of that. `ends_on` is
    the date when it was retired or will be, and `replacement` the name of the model to go on with. Prices are for a
    million tokens, in `CURRENCY`.
    """

    name: str
    display_name: str
    repository: str
    family: str
    task: Task
    context: int
    licence: str
    revision: str = "main"
    notice: str = ""
    gated: bool = False
    base: bool = False
    system_prompt: str = ""
    lifecycle: Lifecycle = Lifecycle.AVAILABLE
    ends_on: str = ""
    replacement: str = ""
    endpoint: str = ""
    aliases: tuple[str, ...] = ()
    input_price: Decimal | None = None
    output_price: Decimal | None = None
    quota: Quota | None = None

    @property
    def full_name(self) -> ModelName:
        """Its name in the catalogue of models."""
        return ModelName(AI_SCHEMA.catalog, AI_SCHEMA.schema, self.name)

    @property
    def served(self) -> bool:
        """Whether it has an endpoint when its weights are here."""
        return bool(self.endpoint) and self.lifecycle is not Lifecycle.RETIRED and not self.base

    @property
    def other_names(self) -> tuple[str, ...]:
        """By which its endpoint is asked too: that of the model, and `system.ai.X` for an endpoint `databricks-X`."""
        if not self.endpoint:
            return ()
        return *self.aliases, str(self.full_name), f"{AI_SCHEMA}.{self.endpoint.removeprefix(RESERVED_PREFIX)}"

    @property
    def pull(self) -> str:
        """The command that brings its weights."""
        return f"`penstock models pull {self.name}`"


@dataclass(frozen=True, slots=True)
class Notice:
    """What users of a deprecated model are told, and the date (ISO 8601) when it ends, empty if that is not known."""

    words: str
    ends_on: str = ""


@dataclass(frozen=True, slots=True)
class Signs:
    """Names of endpoints that lead elsewhere: `aliases` to another name, `absent` to what is said if it is not there.

    `undeployable` says of full names of models why they are not served, and `notices` of endpoints that they will not
    be served for long.
    """

    aliases: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    undeployable: Mapping[str, str] = field(default_factory=dict)
    notices: Mapping[str, Notice] = field(default_factory=dict)

    def missing(self, name: str) -> str | None:
        """What is said of an endpoint that is not there, None if nothing is known of it."""
        return self.absent.get(self.aliases.get(name, name))


@dataclass(frozen=True, slots=True)
class Foundation:
    """All models, in the order in which they are shown."""

    models: tuple[FoundationModel, ...] = ()

    def of(self, name: str) -> FoundationModel:
        """One model, by its name, its full name or its endpoint's; raises DoesNotExist."""
        for one in self.models:
            if name in {one.name, str(one.full_name), one.endpoint, *one.other_names}:
                return one
        near = get_close_matches(name, [each for one in self.models for each in (one.name, one.endpoint)], 1)
        meant = f" Did you mean '{near[0]}'?" if near else ""
        raise DoesNotExist(f"There is no foundation model '{name}'; `penstock models list` shows all.{meant}")

    def signs(self) -> Signs:
        """What callers of endpoints are told."""
        offered = [one for one in self.models if one.endpoint]
        aliases = {name: one.endpoint for one in offered for name in one.other_names}
        bases = {str(one.full_name): _base(one) for one in self.models if one.base}
        return Signs(
            aliases,
            {**bases, **{one.endpoint: self._absent(one) for one in offered}},
            bases,
            {
                one.endpoint: Notice(self.parting(one), one.ends_on)
                for one in offered
                if one.lifecycle is Lifecycle.DEPRECATED
            },
        )

    def quotas(self) -> Mapping[str, Quota]:
        """What each endpoint is limited to."""
        return {one.endpoint: one.quota for one in self.models if one.served and one.quota is not None}

    def prices(self) -> Mapping[str, Price]:
        """Prices of tokens by the model's full name."""
        return {
            str(one.full_name): Price(input_million=one.input_price, output_million=one.output_price)
            for one in self.models
            if one.input_price is not None
        }

    def _absent(self, model: FoundationModel) -> str:
        if model.lifecycle is Lifecycle.RETIRED:
            return self.parting(model)
        named = f"{model.display_name} ('{model.endpoint}')"
        said = f"The weights of {named} are not on this server: {model.pull} brings them."
        return f"{said} {self.parting(model)}".strip()

    def parting(self, model: FoundationModel) -> str:
        """What is said of a model that is given up, or will be; empty for others."""
        if model.lifecycle is Lifecycle.RETIRED:
            named = f" ('{model.endpoint}')" if model.endpoint else ""
            when = f" on {model.ends_on}" if model.ends_on else ""
            return f"{model.display_name}{named} was retired{when}.{self._instead(model)}"
        if model.lifecycle is Lifecycle.DEPRECATED:
            until = f" and will be retired on {model.ends_on}" if model.ends_on else ""
            return f"{model.display_name} is deprecated{until}.{self._instead(model)}"
        return ""

    def _instead(self, model: FoundationModel) -> str:
        if not model.replacement:
            return ""
        other = self.of(model.replacement)
        return f" Use '{other.endpoint}' ({other.display_name}) instead; if it is not here, {other.pull} brings it."

    def description(self, model: FoundationModel) -> str:
        """Of its endpoint."""
        said = f"{model.display_name}, paid by the token. Licence: {model.licence}."
        if model.lifecycle is Lifecycle.DEPRECATED:
            said += f" {self.parting(model)}"
        return f"{said} {model.notice}".strip()


def _base(model: FoundationModel) -> str:
    return (
        f"{model.full_name} is a base model, and only models that are tuned to follow instructions are served from "
        f"{AI_SCHEMA}. Register it in a catalog of your own to serve it."
    )


def foundation_of(models: Iterable[FoundationModel]) -> Foundation:
    """The catalogue; raises InvalidParameter naming the model and the rule that it breaks."""
    found = tuple(models)
    _check_unique("name", [one.name for one in found])
    _check_unique("endpoint", [name for one in found for name in _asked_by(one)])
    names = {one.name: one for one in found}
    for one in found:
        ModelName.parse(str(one.full_name))
        for name in (one.endpoint, *one.aliases):
            if name and not name.startswith(RESERVED_PREFIX):
                raise InvalidParameter(f"{one.name}: endpoint '{name}' must begin with '{RESERVED_PREFIX}'.")
        if one.replacement and (one.replacement not in names or not names[one.replacement].served):
            raise InvalidParameter(f"{one.name}: replacement '{one.replacement}' is not a model that is served.")
        if one.served and (one.input_price is None or one.quota is None):
            raise InvalidParameter(f"{one.name}: a model with an endpoint needs prices and limits.")
        if one.lifecycle is Lifecycle.RETIRED and one.endpoint and not one.ends_on:
            raise InvalidParameter(f"{one.name}: a retired model needs the date, ends_on.")
    return Foundation(found)


def _asked_by(model: FoundationModel) -> Iterable[str]:
    """All names of its endpoint, each once."""
    return dict.fromkeys(name for name in (model.endpoint, *model.other_names) if name)


def _check_unique(what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InvalidParameter(f"Two foundation models have the {what} '{name}'.")
