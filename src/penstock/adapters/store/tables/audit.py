"""The table of the audit log."""

from sqlalchemy import Column, Index, Integer, String, Table

from penstock.adapters.store.schema import BIG, METADATA

# No foreign keys: entries outlive whom and what they are about.
AUDIT = Table(
    "audit",
    METADATA,
    Column("id", String, primary_key=True),
    Column("at", BIG, nullable=False),
    Column("principal", String, nullable=False),
    Column("token_id", String, nullable=False),
    Column("method", String, nullable=False),
    Column("route", String, nullable=False),
    Column("object_type", String, nullable=False),
    Column("object_name", String, nullable=False),
    Column("address", String, nullable=False),
    Column("forwarded_for", String, nullable=False),
    Column("user_agent", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error_code", String, nullable=False),
    Column("request_id", String, nullable=False),
    Index(None, "at"),
    Index(None, "principal", "id"),
    Index(None, "object_name", "id"),
    Index(None, "request_id"),
)
