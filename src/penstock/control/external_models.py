"""External models of endpoints: checked, and their secrets planted and uprooted."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from penstock.control.endpoint_wishes import ExternalWish
from penstock.domain.access import Principal
from penstock.domain.endpoint import Config, check_entities
from penstock.domain.errors import DoesNotExist, InvalidParameter, PenstockError
from penstock.domain.external_model import ExternalEntity, default_name
from penstock.domain.secret import Hidden, SecretRef
from penstock.domain.served_entity import check_name
from penstock.ports.provider import Provider


class SecretKeeper(Protocol):
    """What is done here with secrets; see `penstock.control.secrets.Secrets`."""

    async def resolve(self, ref: SecretRef, reader: Principal) -> Hidden:
        """The secret's text; raises DoesNotExist, PermissionDenied."""
        ...

    async def plant(self, owner: Principal, value: str) -> SecretRef:
        """Stores what nobody but the owner's endpoints will see."""
        ...

    async def uproot(self, ref: SecretRef) -> None:
        """Removes what was planted, and nothing else."""
        ...


class ExternalModels:
    """Checks external models. `strict` keeps the platform's older rule: one in an endpoint."""

    def __init__(self, secrets: SecretKeeper, provider: Provider, *, strict: bool) -> None:
        self._secrets = secrets
        self._provider = provider
        self._strict = strict

    async def entities(self, reader: Principal, wishes: Sequence[ExternalWish]) -> tuple[ExternalEntity, ...]:
        """Served entities that may be wanted, as far as can be told now; secrets are not planted yet.

        Raises:
            InvalidParameter: a name, a task or a provider's rule is against it, or a secret that is referred to is
                not there.
            PermissionDenied: `reader` may not read a secret that is referred to.
        """
        made = tuple(_entity(wish, reader) for wish in wishes)
        check_entities([one.name for one in made])
        if self._strict and len(made) > 1:
            raise InvalidParameter(
                f"config.served_entities may hold one external model only in strict mode, but holds {len(made)}."
            )
        if len({one.model.task for one in made}) > 1:
            listed = ", ".join(f"'{one.name}' {one.model.task}" for one in made)
            raise InvalidParameter(f"All served entities of an endpoint must have the same task, but {listed}.")
        for one in made:
            if problem := self._provider.problem(one.model):
                raise InvalidParameter(f"Served entity '{one.name}': {problem}")
            await self._check_secrets(one, reader)
        return made

    async def plant(self, config: Config, owner: Principal) -> Config:
        """The configuration with secrets that were given themselves stored, and referred to; all of them or none."""
        made = config
        try:
            for place, one in enumerate(config.externals):
                for field, value in one.model.secrets.items():
                    if isinstance(value, Hidden):
                        ref = await self._secrets.plant(owner, value.reveal())
                        made = _with(made, place, field, ref)
        except BaseException:
            await self.uproot(made)
            raise
        return made

    async def uproot(self, before: Config | None, after: Config | None = None) -> None:
        """Removes what was planted for a configuration and is not used by the one after it."""
        for ref in _refs(before) - _refs(after):
            with suppress(PenstockError):  # what stays is sealed, and nothing refers to it
                await self._secrets.uproot(ref)

    async def _check_secrets(self, entity: ExternalEntity, reader: Principal) -> None:
        for field, ref in entity.model.refs.items():
            try:
                await self._secrets.resolve(ref, reader)
            except DoesNotExist as error:
                raise InvalidParameter(f"{field} of served entity '{entity.name}': {error.message}") from None


def _with(config: Config, place: int, field: str, ref: SecretRef) -> Config:
    """The configuration with one secret planted."""
    before = config.externals[place]
    after = replace(before, model=before.model.planted({field: ref}))
    return replace(config, externals=(*config.externals[:place], after, *config.externals[place + 1 :]))


def _refs(config: Config | None) -> set[SecretRef]:
    return {ref for one in config.externals for ref in one.model.refs.values() if ref.own} if config else set()


def _entity(wish: ExternalWish, reader: Principal) -> ExternalEntity:
    name = default_name(wish.model.name) if wish.name is None else wish.name
    return ExternalEntity(check_name(name, "name of a served entity"), wish.model, reader.name)
