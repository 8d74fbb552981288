"""Bodies of what an endpoint has beside its configuration: who is told of updates, and telemetry."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from penstock.domain.errors import InvalidParameter
from penstock.domain.notification import Notifications, check_addresses
from penstock.domain.telemetry import Telemetry, check_features

_LENIENT = ConfigDict(extra="ignore", protected_namespaces=())
_TABLES = ("logs_table", "metrics_table", "traces_table", "annotations_table")
_MOST_NAME = 767


class AddressesBody(BaseModel):
    """E-mail addresses by what they are told of."""

    model_config = _LENIENT

    on_update_failure: list[str] | None = None
    on_update_success: list[str] | None = None

    def wish(self) -> Notifications:
        """The addresses; raises InvalidParameter naming the field."""
        return Notifications(
            check_addresses(self.on_update_failure or (), "email_notifications.on_update_failure"),
            check_addresses(self.on_update_success or (), "email_notifications.on_update_success"),
        )


class NotificationsBody(BaseModel):
    """Replaces the addresses; without any, nobody is told."""

    model_config = _LENIENT

    email_notifications: AddressesBody | None = None

    def wish(self) -> Notifications:
        """The addresses; raises InvalidParameter naming the field."""
        return self.email_notifications.wish() if self.email_notifications else Notifications()


class TelemetryBody(BaseModel):
    """A telemetry configuration; empty, it removes the one that there is."""

    model_config = _LENIENT

    enabled_telemetry_features: list[str] | None = None
    telemetry_profile_id: str | None = None
    table_names: dict[str, str | None] | None = None
    inference_table_config: Any = None

    def wish(self) -> Telemetry | None:
        """What is asked for; raises InvalidParameter naming the field."""
        if self.inference_table_config:
            raise InvalidParameter(
                "telemetry_config.inference_table_config: inference tables are not supported by this server yet."
            )
        tables = tuple((field, table) for field, table in sorted((self.table_names or {}).items()) if table)
        for field, table in tables:
            if field not in _TABLES:
                raise InvalidParameter(
                    f"telemetry_config.table_names must hold {', '.join(_TABLES)}, but holds {field[:80]!r}."
                )
            _check_name(table, f"table_names.{field}")
        features = check_features(tuple(self.enabled_telemetry_features or ()))
        profile = _check_name(self.telemetry_profile_id or "", "telemetry_profile_id")
        if not (features or tables or profile):
            return None
        return Telemetry(features, profile, tables)


def _check_name(name: str, field: str) -> str:
    if len(name) > _MOST_NAME:
        raise InvalidParameter(f"telemetry_config.{field} must have at most {_MOST_NAME} characters.")
    return name


class TelemetryPatchBody(BaseModel):
    """Replaces the telemetry configuration; without one, it is removed."""

    model_config = _LENIENT

    telemetry_config: TelemetryBody | None = None

    def wish(self) -> Telemetry | None:
        """What is asked for; raises InvalidParameter naming the field."""
        return self.telemetry_config.wish() if self.telemetry_config else None
