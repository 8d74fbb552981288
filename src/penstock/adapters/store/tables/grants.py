"""The table of grants on the catalogue."""

from sqlalchemy import Column, Index, String, Table

from penstock.adapters.store.schema import METADATA

# No foreign key: ids are of three tables, and never used twice.
GRANTS = Table(
    "grants",
    METADATA,
    Column("securable_id", String, primary_key=True),
    Column("principal", String, primary_key=True),
    Column("privilege", String, primary_key=True),
    Index(None, "principal"),
)
