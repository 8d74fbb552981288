"""The table of changes of allotments."""

from sqlalchemy import Column, Float, Index, Integer, String, Table, Text

from penstock.adapters.store.schema import BIG, METADATA

# No foreign key: rows are forgotten by age, whether their endpoint is still there or not.
SCALING = Table(
    "scaling",
    METADATA,
    Column("endpoint_id", String, primary_key=True),
    Column("entity", String, primary_key=True),
    Column("at", BIG, primary_key=True),
    Column("old", Float, nullable=False),
    Column("new", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("chunk", Float, nullable=False),
    Column("mean", Float, nullable=False),
    Column("burst", Float, nullable=False),
    Column("backlog", Float, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("free", Float, nullable=False),
    Column("minimum", Float, nullable=False),
    Column("maximum", Float, nullable=False),
    Column("startup_s", Float, nullable=False),
    Column("devices", Text, nullable=False),
    Index(None, "endpoint_id", "at"),
    Index(None, "at"),
)
