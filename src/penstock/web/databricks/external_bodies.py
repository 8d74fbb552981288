"""External models as clients send them and as they are told: secrets as references, never themselves."""

from collections.abc import Mapping
from typing import Any

from penstock.control.endpoint_wishes import ExternalWish
from penstock.domain.errors import InvalidParameter
from penstock.domain.external_forms import CONFIG_KEYS
from penstock.domain.external_model import ExternalModel, nested, read_model

_SIZES = (
    "min_provisioned_throughput",
    "max_provisioned_throughput",
    "min_provisioned_concurrency",
    "max_provisioned_concurrency",
    "provisioned_model_units",
)
_OTHERS = (
    "entity_name",
    "entity_version",
    "model_name",
    "model_version",
    "workload_size",
    "workload_type",
    "scale_to_zero_enabled",
    "weight_precision",
    "environment_vars",
    "instance_profile_arn",
)


def external_wish(given: Mapping[str, Any], name: str | None, beside: Mapping[str, Any]) -> ExternalWish:
    """A served entity that is an external model; `beside` are the entity's other fields.

    Sizes of 0 are taken as not given: some clients send them always. Raises InvalidParameter naming the field.
    """
    for field in _SIZES:
        if beside.get(field):
            raise InvalidParameter(
                f"{field}: provisioned throughput is not supported for endpoints with external models."
            )
    for field in _OTHERS:
        if beside.get(field):
            raise InvalidParameter(f"{field} of a served entity must not be given together with external_model.")
    configs = {}
    for key in sorted(CONFIG_KEYS.intersection(given)):
        if given[key] is None:
            continue
        if not isinstance(given[key], dict):
            raise InvalidParameter(f"external_model.{key} must be an object.")
        configs[key] = given[key]
    model = read_model(_text(given, "name"), _text(given, "provider"), _text(given, "task"), configs)
    return ExternalWish(model, name)


def _text(given: Mapping[str, Any], key: str) -> str:
    value = given.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidParameter(f"external_model.{key} must be given, as a text.")
    return value


def external_answer(model: ExternalModel) -> dict[str, Any]:
    """An external model as it was asked for, without what was planted."""
    refs = {field: str(ref) for field, ref in model.refs.items() if not ref.own}
    return {
        "name": model.name,
        "provider": model.provider.value,
        "task": model.task.value,
        model.form.key: nested({**model.fields, **refs}),
    }
