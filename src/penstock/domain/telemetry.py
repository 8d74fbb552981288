"""An endpoint's telemetry configuration: checked, kept and shown; nothing is written to the tables that it names."""

from dataclasses import dataclass

from penstock.domain.errors import InvalidParameter

INFERENCE_TABLE = "TELEMETRY_FEATURE_INFERENCE_TABLE"
FEATURES = ("TELEMETRY_FEATURE_LOGS", "TELEMETRY_FEATURE_TRACES", "TELEMETRY_FEATURE_METRICS")
"""Features that may be named; that of inference tables is refused until there are any."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What was asked for. `tables` (pairs of field and table name) are written only: they are never shown."""

    features: tuple[str, ...] = ()
    profile_id: str = ""
    tables: tuple[tuple[str, str], ...] = ()


def check_features(features: tuple[str, ...]) -> tuple[str, ...]:
    """The features, each once; raises InvalidParameter for one that is not known or does not work."""
    for one in features:
        if one == INFERENCE_TABLE:
            raise InvalidParameter(
                f"telemetry_config.enabled_telemetry_features holds {one}: inference tables are not supported by this "
                "server yet."
            )
        if one not in FEATURES:
            raise InvalidParameter(
                f"telemetry_config.enabled_telemetry_features must hold {', '.join(FEATURES)}, but holds {one[:80]!r}."
            )
    return tuple(dict.fromkeys(features))
