"""Use cases of an endpoint's rate limits: kept with it, and in force as soon as the data plane hears of them."""

from collections.abc import Callable, Sequence

from penstock.domain.access import Caller
from penstock.domain.acl import require_manage
from penstock.domain.endpoint import Endpoint
from penstock.domain.errors import DoesNotExist
from penstock.domain.rate_limit import RateLimit, check_limits
from penstock.ports.store import Store


class EndpointLimits:
    """Rate limits. `hint` wakes the reconciler, which publishes, for an endpoint's id."""

    def __init__(self, store: Store, *, hint: Callable[[str], None]) -> None:
        self._store = store
        self._hint = hint

    async def replace(
        self, caller: Caller, name: str, limits: Sequence[RateLimit], *, legacy: bool
    ) -> Sequence[RateLimit]:
        """Replaces all limits of an endpoint, however they were set, and returns them.

        Raises InvalidParameter naming the rule, DoesNotExist, or PermissionDenied if the caller does not manage it.
        """
        async with self._store.unit() as unit:
            endpoint = await unit.endpoints.by_name(name)
            if endpoint is None:
                raise DoesNotExist(f"Endpoint with name '{name}' does not exist.")
            require_manage(caller, endpoint.acl, name)
            checked = check_limits(limits, "rate_limits")
            await unit.endpoints.set_limits(endpoint.id, checked, legacy=legacy)
        self._hint(endpoint.id)
        return checked


def shown_limits(endpoint: Endpoint) -> Sequence[RateLimit]:
    """The limits that the endpoint is shown with: those that came by the older route are not."""
    return () if endpoint.limits_legacy else endpoint.limits
