"""Bodies and answers of an endpoint's AI gateway: rate limits, and what is refused by name until it works."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from penstock.domain.errors import InvalidParameter
from penstock.domain.rate_limit import MINUTE, LimitKey, RateLimit, check_limits

_LENIENT = ConfigDict(extra="ignore")


class RateLimitBody(BaseModel):
    """A rate limit."""

    model_config = _LENIENT

    key: str | None = None
    principal: str | None = None
    calls: int | None = None
    tokens: int | None = None
    renewal_period: str | None = None

    def limit(self, field: str) -> RateLimit:
        """What is asked for; raises InvalidParameter naming `field`."""
        if self.renewal_period != MINUTE:
            raise InvalidParameter(f"{field}.renewal_period must be '{MINUTE}', but is {_told(self.renewal_period)}.")
        keys = [key.value for key in LimitKey]
        key = LimitKey.ENDPOINT.value if self.key is None else self.key
        if key not in keys:
            raise InvalidParameter(f"{field}.key must be one of {', '.join(keys)}, but is {_told(self.key)}.")
        return RateLimit(LimitKey(key), self.principal or "", self.calls, self.tokens)


class RateLimitsBody(BaseModel):
    """Limits as the older route has them: of calls, for the endpoint or each user."""

    model_config = _LENIENT

    rate_limits: list[RateLimitBody] | None = None

    def limits(self) -> tuple[RateLimit, ...]:
        """What is asked for; raises InvalidParameter naming the field."""
        return older_limits(self.rate_limits)


class FallbackBody(BaseModel):
    """Whether external models stand in for each other."""

    model_config = _LENIENT

    enabled: bool = False


class GatewayBody(BaseModel):
    """An endpoint's AI gateway."""

    model_config = _LENIENT

    rate_limits: list[RateLimitBody] | None = None
    fallback_config: FallbackBody | None = None
    usage_tracking_config: Any = None
    inference_table_config: Any = None
    guardrails: Any = None

    def limits(self) -> tuple[RateLimit, ...]:
        """What is asked for; raises InvalidParameter naming the field, also one that does not work yet."""
        for field in ("usage_tracking_config", "inference_table_config", "guardrails"):
            if not _is_off(getattr(self, field)):
                raise InvalidParameter(f"ai_gateway.{field} is not supported by this server yet.")
        field = "ai_gateway.rate_limits"
        given = [one.limit(f"{field}[{number}]") for number, one in enumerate(self.rate_limits or ())]
        return check_limits(given, field)

    def fallback(self) -> bool:
        """Whether fallback is asked for."""
        return self.fallback_config is not None and self.fallback_config.enabled


def older_limits(given: Sequence[RateLimitBody] | None) -> tuple[RateLimit, ...]:
    """Limits in the older form; raises InvalidParameter naming the field."""
    limits = tuple(one.limit(f"rate_limits[{number}]") for number, one in enumerate(given or ()))
    for number, one in enumerate(limits):
        if one.key not in (LimitKey.ENDPOINT, LimitKey.USER) or one.principal or one.tokens is not None:
            raise InvalidParameter(
                f"rate_limits[{number}] may only limit calls, with the key endpoint or user; others are set in "
                "ai_gateway.rate_limits."
            )
        if one.calls is None:
            raise InvalidParameter(f"rate_limits[{number}].calls must be given.")
    return check_limits(limits, "rate_limits")


def limits_answer(limits: Sequence[RateLimit]) -> list[dict[str, Any]]:
    """Limits as they go over the wire."""
    return [_limit(one) for one in limits]


def _limit(limit: RateLimit) -> dict[str, Any]:
    body: dict[str, Any] = {"key": limit.key.value, "renewal_period": MINUTE}
    if limit.principal:
        body["principal"] = limit.principal
    if limit.calls is not None:
        body["calls"] = limit.calls
    if limit.tokens is not None:
        body["tokens"] = limit.tokens
    return body


def _is_off(value: Any) -> bool:
    """Whether a feature is not asked for: nothing is said, or nothing but that it is off."""
    if isinstance(value, Mapping):
        if value.get("enabled") is False:
            return True
        return all(_is_off(one) for one in value.values())
    return not value or value == "NONE"


def _told(value: str | None) -> str:
    return "missing" if value is None else repr(value[:80])
