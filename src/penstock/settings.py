"""Every setting, typed and documented.

Flags win over PENSTOCK_* variables, those over the TOML file, that over the variables OTEL_*, and those over defaults.

A key `x` of the group `gateway` is `[gateway] x = ...` in the file and PENSTOCK_GATEWAY_X in the environment; keys
outside groups are at the top of the file and PENSTOCK_X. Unknown keys and variables are refused.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from penstock.domain.errors import InvalidParameter
from penstock.neighbour_settings import (
    GROUP,
    ExternalSettings,
    MailSettings,
    MarketplaceSettings,
    MlflowSettings,
    VllmSettings,
)
from penstock.telemetry_settings import TelemetrySettings, told_by_otel

PREFIX = "PENSTOCK_"
# Variables of the clients and of the command line, which the server passes over.
NOT_SETTINGS = frozenset({"PENSTOCK_CONFIG", "PENSTOCK_URL", "PENSTOCK_TOKEN"})
MIB = 1024 * 1024
GIB = 1024 * MIB


class AdminSettings(BaseModel):
    """The administrator."""

    model_config = GROUP

    token: SecretStr | None = Field(default=None)
    """The administrator's token, at least 16 characters without spaces. A changed one replaces the former at the
    next start. Without it, one is made and printed at the first start. Better set in the environment than in a file."""

    @field_validator("token")
    @classmethod
    def _looks_like_a_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is None:
            return None
        value = token.get_secret_value()
        if len(value) < 16 or not value.isascii() or not value.isprintable() or " " in value:  # noqa: PLR2004 - the rule
            raise ValueError("must have at least 16 printable ASCII characters and no spaces")
        return token


class AccessSettings(BaseModel):
    """Tokens and OAuth."""

    model_config = GROUP

    token_quota: int = Field(default=600, ge=1)
    """Most personal tokens that one principal may have."""
    token_lifetime_s: int = Field(default=0, ge=0)
    """Longest lifetime of personal tokens, in seconds; tokens made without a lifetime get it. 0: no limit."""
    oauth_lifetime_s: int = Field(default=3600, ge=60)
    """Lifetime of OAuth access tokens, in seconds."""
    write_uses_s: float = Field(default=60, gt=0)
    """How often the last use of tokens is written to the database, in seconds."""
    audit_days: float = Field(default=365, ge=0)
    """Days for which entries of the audit log are kept; docs/audit.md. 0: for ever."""
    new_endpoints: Literal["NO_PERMISSIONS", "CAN_VIEW", "CAN_QUERY"] = Field(default="NO_PERMISSIONS")
    """What the group `users` may do with endpoints made from now on, until their managers say otherwise."""


class GatewaySettings(BaseModel):
    """The data plane."""

    model_config = GROUP

    strict: bool = Field(default=False)
    """Refuse requests with unknown fields, as Databricks does, instead of passing over the usual ones."""
    max_body_bytes: int = Field(default=4 * MIB, ge=1024)
    """Largest request body, in bytes."""
    request_timeout_s: float = Field(default=597, gt=0)
    """Longest time from a request to the end of its answer, in seconds."""
    replica_max_queue: int = Field(default=64, ge=0)
    """Most requests that wait in one replica; more are answered with 429. 0: nothing waits."""


class ServingSettings(BaseModel):
    """Endpoints and their replicas."""

    model_config = GROUP

    scale_to_zero_idle_s: float = Field(default=1800, gt=0)
    """Idle time after which a served entity that may scale to zero does, in seconds."""
    deploy_timeout_s: float = Field(default=1800, gt=0)
    """Longest time for a deployment, from the request to all its replicas being ready, in seconds."""
    profile_budget_s: float = Field(default=60, gt=0)
    """Longest time for measuring a model version on this machine, in seconds."""
    profile_idle_s: float = Field(default=300, gt=0)
    """Idle time of a device after which what a profile no longer holds for is measured again, in seconds."""
    drift_window_s: float = Field(default=3600, ge=30)
    """Time over which the cost of requests is compared with the profile, in seconds."""
    device_memory_fraction: float = Field(default=0.8, gt=0, le=1)
    """Share of a device's memory that replicas may take."""
    max_endpoints: int = Field(default=1000, ge=1)
    """Most serving endpoints at a time."""
    max_changes: int = Field(default=0, ge=0)
    """Most times that endpoints may be created or updated within 5 minutes. 0: no limit."""
    devices: int = Field(default=1, ge=1)
    """Devices that this machine's cores and memory are divided into, in equal parts; each replica runs on one."""


class ScalingSettings(BaseModel):
    """The autoscaler; docs/scaling.md says how it decides."""

    model_config = GROUP

    period_s: float = Field(default=1, gt=0, le=60)
    """How often demand is looked at, in seconds; sooner, at most every 50 ms, when it exceeds an allotment."""
    target: float = Field(default=0.9, gt=0, le=1)
    """So much is allotted that demand takes this part of it."""
    burst_s: float = Field(default=10, gt=0)
    """Seconds by which a burst is told; at most mean_s."""
    burst_chunks: int = Field(default=2, ge=1)
    """Chunks beyond what is held that a burst must ask for to count by itself."""
    mean_s: float = Field(default=30, gt=0)
    """Seconds over which demand is averaged."""
    drain_s: float = Field(default=10, gt=0)
    """Seconds within which what waits is to be gone."""
    down_s: float = Field(default=120, ge=0)
    """Seconds for which an allotment stays up after demand has fallen, and a further replica that starts quickly."""
    down_slow_s: float = Field(default=300, ge=0)
    """The same for a further replica that takes longer than slow_start_s to start; at least down_s."""
    slow_start_s: float = Field(default=10, ge=0)
    """A replica that takes longer to start, in seconds, is slow."""
    give_up_s: float = Field(default=60, gt=0)
    """A further replica that is not ready so many seconds after it should have been is given up, and tried again after
    as long."""
    history_days: float = Field(default=90, gt=0)
    """Days for which decisions are remembered."""


class ArtifactSettings(BaseModel):
    """Files of model versions."""

    model_config = GROUP

    max_upload_bytes: int = Field(default=64 * GIB, ge=1)
    """Largest file that may be uploaded, in bytes."""
    upload_expiry_s: int = Field(default=24 * 3600, ge=60)
    """Time after which an unfinished upload is swept, in seconds."""
    url_expiry_s: int = Field(default=3600, ge=10)
    """Time for which a signed address is good, in seconds."""
    sdk_repository: bool = Field(default=False)
    """Tell MLflow clients to move files through the Files API, in parts, instead of signed addresses. Both work."""


class BatchSettings(BaseModel):
    """OpenAI's Batch API."""

    model_config = GROUP

    max_file_bytes: int = Field(default=200 * MIB, ge=1)
    """Largest file of rows, in bytes."""
    max_rows: int = Field(default=50_000, ge=1)
    """Most rows of a batch."""
    window: int = Field(default=16, ge=1)
    """Most rows of one batch that are on their way at a time."""
    running: int = Field(default=4, ge=1)
    """Most batches that run at a time; others wait, oldest first."""
    file_days: float = Field(default=30, ge=0)
    """Days for which files are kept, those of answers too, unless expires_after says otherwise. 0: until deleted."""
    owner_bytes: int = Field(default=10 * GIB, ge=1)
    """Most bytes of files that one principal may keep; then uploads are refused."""


class LedgerSettings(BaseModel):
    """How long the ledger's rows are kept; docs/ledger.md says what can be proven from what is left. 0: for ever."""

    model_config = GROUP

    requests_days: float = Field(default=30, ge=0)
    """Days for which the rows of single requests are kept."""
    minutes_days: float = Field(default=365, ge=0, validate_default=True)
    """Days for which minutes are kept; not fewer than those of requests."""
    hours_days: float = Field(default=0, ge=0, validate_default=True)
    """Days for which hours are kept; not fewer than those of minutes."""
    unwritten_bytes: int = Field(default=16 * MIB, ge=1024)
    """Bytes of the ledger that are kept in memory while the disk takes nothing; then requests are answered with 503."""

    @field_validator("minutes_days", "hours_days")
    @classmethod
    def _outlives(cls, days: float, info: ValidationInfo) -> float:
        """What sums up is kept at least as long as what it sums."""
        before = "requests_days" if info.field_name == "minutes_days" else "minutes_days"
        least = info.data.get(before, 0)
        if days and (not least or days < least):
            raise ValueError(f"must be 0 (for ever) or at least {before} ({least:g}; 0 is for ever)")
        return days


class LimitsSettings(BaseModel):
    """Rate limits; docs/limits.md."""

    model_config = GROUP

    wait_s: float = Field(default=2, ge=0, le=60)
    """How long a request that finds no room waits for some, in seconds, if there may be some by then."""
    max_waiting: int = Field(default=256, ge=0)
    """Most requests that wait so at one endpoint; others are answered with 429 at once."""
    answer_tokens: int = Field(default=1024, ge=1)
    """Most tokens of an answer, at an endpoint with a limit of tokens, if its request does not say."""
    external_answer_tokens: int = Field(default=4000, ge=1)
    """The same for chats with external models; a provider may refuse more than its model can answer with."""
    redis_url: SecretStr | None = Field(default=None)
    """Redis in which several gateways share limits, such as redis://host:6379/0. Without it they count for this server
    alone. Needs penstock[redis]."""
    lease_s: float = Field(default=30, ge=1)
    """How long a gateway that cannot reach Redis goes on with the budget that it has leased, in seconds."""


class SecretsSettings(BaseModel):
    """The master key of secrets; docs/secrets.md. Without one, a key is made in data_dir/master.key."""

    model_config = GROUP

    master_key_file: Path | None = Field(default=None)
    """File with the master key, 32 bytes in base64."""
    master_key_command: str = Field(default="")
    """Command, run without a shell, that prints the master key, such as one that asks a key management service."""


class SweepSettings(BaseModel):
    """The janitor."""

    model_config = GROUP

    period_s: float = Field(default=300, gt=0)
    """How often what is no longer needed is looked for, in seconds."""
    replica_history_s: int = Field(default=7 * 24 * 3600, ge=0)
    """How long ended replicas are remembered, in seconds."""


class Settings(BaseModel):
    """All settings of a server."""

    model_config = GROUP

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on. 0.0.0.0 is every IPv4 address of the machine."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port to listen on. 0: any free port, which is printed."""
    data_dir: Path = Field(default=Path("data"))
    """Folder of the database, the model files and the engines' caches and logs; made if it does not exist."""
    database: str = Field(default="")
    """URL of the database: sqlite:////PATH or postgresql://USER:PASSWORD@HOST/NAME. Empty: SQLite in data_dir."""
    public_url: str = Field(default="", pattern=r"^(https?://[^/?#]+)?$")
    """Scheme, host and port by which clients reach the server, such as https://models.example.org, for addresses
    that answers hold. Empty: as each request was addressed."""
    log_format: Literal["human", "json"] = Field(default="human")
    """Format of log lines."""
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info")
    """Least level of log lines."""
    drain_s: float = Field(default=20, ge=0)
    """Longest time that running requests are given to end when the server stops, or their endpoint is deleted, in
    seconds. 0: none."""
    master_key: SecretStr | None = Field(default=None)
    """The key that secrets are encrypted under, 32 bytes in base64. Set it in the environment, not in a file. At most
    one of it, secrets.master_key_file and secrets.master_key_command is given."""
    old_master_key: SecretStr | None = Field(default=None)
    """A former master key, until `penstock secrets rotate` has run; several are separated by spaces."""
    admin: AdminSettings = AdminSettings()
    access: AccessSettings = AccessSettings()
    gateway: GatewaySettings = GatewaySettings()
    serving: ServingSettings = ServingSettings()
    scaling: ScalingSettings = ScalingSettings()
    artifacts: ArtifactSettings = ArtifactSettings()
    batches: BatchSettings = BatchSettings()
    ledger: LedgerSettings = LedgerSettings()
    limits: LimitsSettings = LimitsSettings()
    secrets: SecretsSettings = SecretsSettings()
    external: ExternalSettings = ExternalSettings()
    mlflow: MlflowSettings = MlflowSettings()
    mail: MailSettings = MailSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    marketplace: MarketplaceSettings = MarketplaceSettings()
    vllm: VllmSettings = VllmSettings()
    sweep: SweepSettings = SweepSettings()

    @property
    def database_url(self) -> str:
        """The database's URL, the default one included."""
        return self.database or f"sqlite:///{self.data_dir.absolute() / 'penstock.db'}"


def load(flags: Mapping[str, Any], environment: Mapping[str, str], config: Path | None) -> Settings:
    """The settings from all sources; raises InvalidParameter that names the key, its source and its rule.

    `flags` holds only what was given. The file is `config`, or else what PENSTOCK_CONFIG names.
    """
    named = config or (Path(environment["PENSTOCK_CONFIG"]) if environment.get("PENSTOCK_CONFIG") else None)
    from_file = _read(named) if named else {}
    _check(from_file, f"{named}")
    from_otel = {"telemetry": told_by_otel(environment)}
    _check(from_otel, "the variables OTEL_*")
    from_environment = _variables(environment)
    _check(from_environment, "the environment")
    try:
        told = _merged(_merged(from_otel, from_file), from_environment)
        settings = Settings.model_validate(_merged(told, dict(flags)))
    except ValidationError as error:
        raise InvalidParameter(_told(error, "the flags")) from error
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Rules over several keys, which may come from different sources."""
    scaling = settings.scaling
    if scaling.burst_s > scaling.mean_s:
        raise InvalidParameter(
            f"'scaling.burst_s' must be at most scaling.mean_s ({scaling.mean_s:g}), but is {scaling.burst_s:g}."
        )
    if scaling.down_slow_s < scaling.down_s:
        raise InvalidParameter(
            f"'scaling.down_slow_s' must be at least scaling.down_s ({scaling.down_s:g}), but is "
            f"{scaling.down_slow_s:g}."
        )
    keys = {
        "master_key": settings.master_key,
        "secrets.master_key_file": settings.secrets.master_key_file,
        "secrets.master_key_command": settings.secrets.master_key_command,
    }
    given = [f"'{name}'" for name, value in keys.items() if value]
    if len(given) > 1:
        raise InvalidParameter(f"Only one of {' and '.join(given)} may be given: a server has one master key.")


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise InvalidParameter(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"The settings file {path} is not TOML: {error}.") from error


def _variables(environment: Mapping[str, str]) -> dict[str, Any]:
    mine = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    known = variables()
    for name in mine:
        if name not in known and name not in NOT_SETTINGS:
            raise InvalidParameter(f"The variable {name} is not a setting of Penstock; see docs/settings.md.")
    found: dict[str, Any] = {}
    for name, value in mine.items():
        if name in known:
            *group, key = known[name]
            (found.setdefault(group[0], {}) if group else found)[key] = value
    return found


def variables() -> dict[str, tuple[str, ...]]:
    """The variable of each setting, with its path: its group, if it has one, and its key."""
    paths: list[tuple[str, ...]] = [(key,) for key in Settings.model_fields if key not in groups()]
    paths += [(name, key) for name, group in groups().items() for key in group.model_fields]
    return {PREFIX + "_".join(path).upper(): path for path in paths}


def groups() -> dict[str, type[BaseModel]]:
    """The groups by name."""
    found = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: kind for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}


def _check(values: dict[str, Any], source: str) -> None:
    try:
        Settings.model_validate(values)
    except ValidationError as error:
        raise InvalidParameter(_told(error, source)) from error


def _told(error: ValidationError, source: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"'{key}' in {source} is not a setting of Penstock; see docs/settings.md."
    rule = str(first["msg"]).removeprefix("Value error, ")
    return f"'{key}' in {source}: {rule[:1].lower() + rule[1:]}."


def _merged(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
