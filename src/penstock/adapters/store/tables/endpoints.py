"""Tables of endpoints, their configurations and places, of replicas and profiles."""

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text

from penstock.adapters.store.schema import BIG, JSON_VALUE, METADATA

ENDPOINTS = Table(
    "endpoints",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    # The name while it is taken: null once the endpoint is deleted, so that the name is free at once.
    Column("taken_name", String, unique=True),
    Column("creator", String, nullable=False),
    Column("created_at", BIG, nullable=False),
    Column("updated_at", BIG, nullable=False),
    Column("description", Text, nullable=False),
    Column("route_optimized", Boolean, nullable=False),
    Column("tags", JSON_VALUE, nullable=False),
    Column("active_version", Integer),
    Column("latest_version", Integer),
    Column("deleted", Boolean, nullable=False),
    Column("fallback", Boolean, nullable=False),
    Column("rate_limits", JSON_VALUE, nullable=False),
    Column("rate_limits_legacy", Boolean, nullable=False),
    # Pairs of who and how much: [["user_name", "ann@x.org", "CAN_MANAGE"], ...]
    Column("acl", JSON_VALUE, nullable=False),
    Column("stopped_version", Integer),
    # Addresses by what they are told of, and the telemetry configuration; null where there is none.
    Column("notifications", JSON_VALUE),
    Column("telemetry", JSON_VALUE),
    Column("usage_policy", String, nullable=False, server_default=""),
)

ENDPOINT_CONFIGS = Table(
    "endpoint_configs",
    METADATA,
    Column("endpoint_id", ForeignKey("endpoints.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("entities", JSON_VALUE, nullable=False),
    Column("routes", JSON_VALUE, nullable=False),
    Column("task", String),
    Column("creator", String, nullable=False),
    Column("started_at", BIG, nullable=False),
    Column("outcome", String, nullable=False),
    Column("message", Text, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("externals", JSON_VALUE),
)

PLACES = Table(
    "places",
    METADATA,
    Column("endpoint_id", ForeignKey("endpoints.id", ondelete="CASCADE"), primary_key=True),
    Column("spec", Text, primary_key=True),
    Column("device", String, primary_key=True),
    Column("share", Float, nullable=False),
    Column("memory", BIG, nullable=False),
)

REPLICAS = Table(
    "replicas",
    METADATA,
    Column("id", String, primary_key=True),
    Column("spec", Text, nullable=False),
    Column("entity_name", String, nullable=False),
    Column("entity_version", String, nullable=False),
    Column("state", String, nullable=False),
    Column("message", Text, nullable=False),
    Column("memory", BIG, nullable=False),
    Column("device", String, nullable=False),
    Column("address", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_started", Float, nullable=False),
    Column("created_at", BIG, nullable=False),
    Column("changed_at", BIG, nullable=False),
    Column("fatal", Boolean, nullable=False),
    Index(None, "spec"),
    Index(None, "state"),
)

PROFILES = Table(
    "profiles",
    METADATA,
    Column("version", String, primary_key=True),
    Column("engine", String, primary_key=True),
    Column("precision", String, primary_key=True),
    Column("device", String, primary_key=True),
    Column("throughput", Float, nullable=False),
    Column("knee", Integer, nullable=False),
    Column("curve", JSON_VALUE, nullable=False),
    Column("cost", JSON_VALUE, nullable=False),
    Column("input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("startup_s", Float, nullable=False),
    Column("memory", BIG, nullable=False),
    Column("measured_at", BIG, nullable=False),
    Column("held_out_mean", Float),
    Column("held_out_worst", Float),
    Column("stale", Text, nullable=False),
)
