"""Terms as a server tells them in its answers, for programs elsewhere that decide as its gate does."""

from collections.abc import Mapping
from typing import Any

from penstock.domain.errors import InvalidParameter
from penstock.domain.profile import CostModel
from penstock.domain.tenancy import Terms

COEFFICIENTS = "caebd"


def told_terms(throughput: Any, cost: Any, found: Any) -> Terms:
    """From an answer's `throughput`, the profile's `cost` and `terms`; raises InvalidParameter if one is not there."""
    if not isinstance(cost, Mapping) or not isinstance(found, Mapping):
        raise InvalidParameter("the server does not tell a cost and terms")
    try:
        return Terms(
            throughput=float(throughput),
            knee=int(found["knee"]),
            cost=CostModel(*(float(cost[name]) for name in COEFFICIENTS)),
            fixed_s=float(found["fixed_s"]),
            running=int(found["max_running"]),
            kv_tokens=int(found["kv_tokens"]),
            tokens_in=int(found["input_tokens"]),
            tokens_out=int(found["output_tokens"]),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InvalidParameter(f"the server's terms are not complete: {type(error).__name__} {error}") from error
