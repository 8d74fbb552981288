"""The table of the request ledger."""

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table, Text

from penstock.adapters.store.schema import BIG, METADATA

# No foreign key: what an endpoint was asked outlives the endpoint.
REQUESTS = Table(
    "requests",
    METADATA,
    Column("request_id", String, primary_key=True),
    Column("endpoint_id", String, nullable=False),
    Column("endpoint_name", String, nullable=False),
    Column("served_entity", String, nullable=False),
    Column("replica_id", String, nullable=False),
    Column("principal", String, nullable=False),
    Column("task", String, nullable=False),
    Column("streaming", Boolean, nullable=False),
    Column("received_at", BIG, nullable=False),
    Column("outcome", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("prompt_tokens", BIG, nullable=False),
    Column("completion_tokens", BIG, nullable=False),
    Column("cached_tokens", BIG, nullable=False),
    Column("measured_s", Float, nullable=False),
    Column("queue_ms", Float, nullable=False),
    Column("ttft_ms", Float, nullable=False),
    Column("duration_ms", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Column("client_request_id", Text, nullable=False),
    Column("device_s", Float, nullable=False),
    Column("reference_tokens", Float, nullable=False),
    Column("asked_tokens", Float, nullable=False),
    Column("priority", String, nullable=False),
    Column("lane", String, nullable=False),
    Column("within", Boolean, nullable=False),
    Column("decision", Text, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("trace_id", String, nullable=False),
    Column("minute", BIG, nullable=False),
    Column("open_from", BIG, nullable=False),
    Column("digest", String, nullable=False),
    Index(None, "endpoint_id", "received_at"),
    Index(None, "minute", "request_id"),
)
