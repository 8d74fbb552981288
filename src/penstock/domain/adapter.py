"""LoRA adapters: which model one was made for, by the name that it was given, and what that model must be."""

from dataclasses import dataclass

from penstock.domain.catalog import ModelVersion, check_number
from penstock.domain.errors import InvalidParameter
from penstock.domain.model import Task
from penstock.domain.names import LEVELS, ModelName

TAG = "base_model"
"""The tag of a version that names its base, whatever its files say."""
RULE = (
    f"Name it in the version's tag '{TAG}', or in base_model_name_or_path of its adapter_config.json: as a registered "
    "model ('catalog.schema.model/version', or 'catalog.schema.model' for its newest version), or as the repository of "
    "a foundation model whose weights are here."
)
_SCHEME = "models:/"


@dataclass(frozen=True, slots=True)
class BaseName:
    """How a base was `said`: a registered `model`, perhaps with its `number`, or a hub's `repository`; else neither."""

    said: str
    model: ModelName | None = None
    number: int | None = None
    repository: str = ""


def base_name(version: ModelVersion) -> BaseName:
    """What an adapter says of its base: its tag, or else its files."""
    assert version.facts is not None
    assert version.facts.adapter is not None
    return parse_base(dict(version.tags).get(TAG) or version.facts.adapter.base)


def parse_base(said: str) -> BaseName:
    """From `catalog.schema.model/3`, `catalog.schema.model`, either after `models:/`, or `owner/repository`."""
    name, slash, number = said.strip().removeprefix(_SCHEME).partition("/")
    if name.count(".") == LEVELS - 1:
        try:
            return BaseName(said, ModelName.parse(name), check_number(number) if slash else None)
        except InvalidParameter:
            pass
    return BaseName(said, repository=f"{name}/{number}" if name and number and "/" not in number else "")


def no_base(version: ModelVersion, name: BaseName, why: str) -> InvalidParameter:
    """The error for an adapter whose base is not here."""
    if not name.said:
        return InvalidParameter(f"{version.label} is a LoRA adapter that does not say of which model. {RULE}")
    return InvalidParameter(f"{version.label} is a LoRA adapter of '{name.said[:200]}': {why} {RULE}")


def served_task(version: ModelVersion, base: ModelVersion) -> Task:
    """The task that an adapter is served for on that base, which must be servable; raises InvalidParameter."""
    assert version.facts is not None
    assert base.facts is not None
    assert base.facts.task is not None
    own, its = version.facts.task, base.facts.task
    if own is None or own is its:
        return its
    if own is Task.COMPLETIONS and its is Task.CHAT:
        return own
    raise InvalidParameter(f"{version.label} is a LoRA adapter for {own}, but its base, {base.label}, serves {its}.")
