"""Rate limits of an endpoint: what may be asked for, and which of them a caller comes under.

An endpoint's own limits are for everybody together. Below them, a caller comes under the most specific that there is: a
limit for that user or service principal; else those of the caller's groups, each shared by its members, of which one
with room is enough; else the limit for every user, of which each has one. A limit of 0 lets nothing through.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from penstock.domain.access import Principal, PrincipalKind
from penstock.domain.errors import InvalidParameter

MINUTE = "minute"
MOST_LIMITS = 20
MOST_GROUP_LIMITS = 5
MOST_VALUE = 2**53 - 1
"""Numbers beyond are not whole in clients that read JSON as floating point."""


class LimitKey(StrEnum):
    """For whom a limit is."""

    ENDPOINT = "endpoint"
    USER = "user"
    USER_GROUP = "user_group"
    SERVICE_PRINCIPAL = "service_principal"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Calls and tokens per minute, at least one of the two. Without `principal`, a user limit is for every user."""

    key: LimitKey = LimitKey.ENDPOINT
    principal: str = ""
    calls: int | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """A limit with the one whom it is counted for: nobody in particular, a principal's name, or a group's."""

    limit: RateLimit
    holder: str = ""

    @property
    def account(self) -> tuple[str, str]:
        """Under what it is counted."""
        return self.limit.key.value, self.holder

    @property
    def whose(self) -> str:
        """For messages."""
        if self.limit.key is LimitKey.ENDPOINT:
            return "the endpoint"
        return f"{self.limit.key.value.replace('_', ' ')} '{self.holder}'"


def applicable(limits: Sequence[RateLimit], principal: Principal) -> tuple[tuple[Holding, ...], ...]:
    """What a caller comes under: every one of these must have room, in at least one of its alternatives."""
    found = [(Holding(one),) for one in limits if one.key is LimitKey.ENDPOINT]
    personal = _personal(limits, principal)
    return (*found, personal) if personal else tuple(found)


def _personal(limits: Sequence[RateLimit], principal: Principal) -> tuple[Holding, ...]:
    mine = LimitKey.SERVICE_PRINCIPAL if principal.kind is PrincipalKind.SERVICE_PRINCIPAL else LimitKey.USER
    own = tuple(Holding(one, principal.name) for one in limits if one.key is mine and one.principal == principal.name)
    if own:
        return own
    groups = tuple(
        Holding(one, one.principal)
        for one in limits
        if one.key is LimitKey.USER_GROUP and one.principal in principal.groups
    )
    if groups:
        return groups
    return tuple(Holding(one, principal.name) for one in limits if one.key is LimitKey.USER and not one.principal)


def check_limits(limits: Sequence[RateLimit], field: str) -> tuple[RateLimit, ...]:
    """Returns the limits, or raises InvalidParameter naming `field` and the rule."""
    if len(limits) > MOST_LIMITS:
        raise InvalidParameter(f"{field} must hold at most {MOST_LIMITS} limits, but holds {len(limits)}.")
    groups = sum(one.key is LimitKey.USER_GROUP for one in limits)
    if groups > MOST_GROUP_LIMITS:
        raise InvalidParameter(
            f"{field} must hold at most {MOST_GROUP_LIMITS} limits of user groups, but holds {groups}."
        )
    seen: set[tuple[LimitKey, str]] = set()
    for number, one in enumerate(limits):
        where = f"{field}[{number}]"
        _check(one, where)
        if (one.key, one.principal) in seen:
            whom = f" for '{one.principal}'" if one.principal else ""
            raise InvalidParameter(
                f"{where} is a second limit with the key {one.key}{whom}; give calls and tokens in one."
            )
        seen.add((one.key, one.principal))
    return tuple(limits)


def _check(limit: RateLimit, where: str) -> None:
    if limit.calls is None and limit.tokens is None:
        raise InvalidParameter(f"{where} must have calls or tokens.")
    for name, value in (("calls", limit.calls), ("tokens", limit.tokens)):
        if value is not None and not 0 <= value <= MOST_VALUE:
            raise InvalidParameter(f"{where}.{name} must be a whole number from 0 to {MOST_VALUE}, but is {value}.")
    named = limit.key in (LimitKey.USER_GROUP, LimitKey.SERVICE_PRINCIPAL)
    if named and not limit.principal:
        raise InvalidParameter(f"{where}.principal must name the one that a limit with the key {limit.key} is for.")
    if limit.principal and limit.key is LimitKey.ENDPOINT:
        raise InvalidParameter(f"{where}.principal must not be given with the key {limit.key}, which is for everybody.")


def most_tokens(choices: Sequence[Sequence[Holding]]) -> int | None:
    """The most tokens that one request can ever have; None where only calls are limited."""
    largest = [
        max((holding.limit.tokens for holding in one if holding.limit.tokens is not None), default=0)
        for one in choices
        if all(holding.limit.tokens is not None for holding in one)
    ]
    return min(largest, default=None)
