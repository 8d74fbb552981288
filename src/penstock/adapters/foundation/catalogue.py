"""The catalogue of foundation models, from the TOML files that come with the program."""

import tomllib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from importlib.resources import files
from importlib.resources.abc import Traversable

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from penstock.domain.errors import InvalidParameter
from penstock.domain.foundation import Foundation, FoundationModel, Lifecycle, foundation_of
from penstock.domain.model import Task
from penstock.domain.quota import Quota

_STRICT = ConfigDict(extra="forbid", frozen=True)


class _Prices(BaseModel):
    model_config = _STRICT

    input: Decimal = Field(ge=0)
    output: Decimal = Field(ge=0)


class _Limits(BaseModel):
    model_config = _STRICT

    queries: int = Field(ge=1)
    input_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=1)


class _Entry(BaseModel):
    """One `[[models]]`; see `penstock.domain.foundation.FoundationModel`."""

    model_config = _STRICT

    name: str
    display_name: str
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = "main"
    family: str
    task: Task
    context: int = Field(ge=1)
    licence: str
    notice: str = ""
    gated: bool = False
    base: bool = False
    system_prompt: str = ""
    lifecycle: Lifecycle = Lifecycle.AVAILABLE
    ends_on: date | None = None
    replacement: str = ""
    endpoint: str = ""
    aliases: tuple[str, ...] = ()
    prices: _Prices | None = None
    limits: _Limits | None = None

    def model(self) -> FoundationModel:
        prices, limits = self.prices, self.limits
        return FoundationModel(
            name=self.name,
            display_name=self.display_name,
            repository=self.repository,
            revision=self.revision,
            family=self.family,
            task=self.task,
            context=self.context,
            licence=self.licence,
            notice=self.notice,
            gated=self.gated,
            base=self.base,
            system_prompt=self.system_prompt.strip(),
            lifecycle=self.lifecycle,
            ends_on=self.ends_on.isoformat() if self.ends_on else "",
            replacement=self.replacement,
            endpoint=self.endpoint,
            aliases=self.aliases,
            input_price=prices.input if prices else None,
            output_price=prices.output if prices else None,
            quota=Quota(limits.queries, limits.input_tokens, limits.output_tokens) if limits else None,
        )


class _File(BaseModel):
    model_config = _STRICT

    models: list[_Entry]


def load_foundation(folder: Traversable | None = None) -> Foundation:
    """The catalogue in a folder, ours by default; raises InvalidParameter naming the file, the key and its rule."""
    return foundation_of(_models(folder or files("penstock") / "catalog"))


def _models(folder: Traversable) -> Iterator[FoundationModel]:
    places = [place for place in folder.iterdir() if place.name.endswith(".toml")]
    for place in sorted(places, key=lambda place: place.name):
        try:
            found = _File.model_validate(tomllib.loads(place.read_text(encoding="utf-8"), parse_float=Decimal))
        except tomllib.TOMLDecodeError as error:
            raise InvalidParameter(f"{place.name} is not TOML: {error}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InvalidParameter(f"{place.name}: {where}: {first['msg']}.") from error
        yield from (entry.model() for entry in found.models)
