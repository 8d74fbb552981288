"""Tables of batches and of their files."""

from sqlalchemy import Column, Index, Integer, String, Table, Text

from penstock.adapters.store.schema import BIG, JSON_VALUE, METADATA

# No foreign keys: answers outlive the file of rows, and a deleted principal's batch fails with a reason.
BATCH_FILES = Table(
    "batch_files",
    METADATA,
    Column("id", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("filename", Text, nullable=False),
    Column("size", BIG, nullable=False),
    Column("created_at", BIG, nullable=False),
    Column("expires_at", BIG, nullable=False),
    Index(None, "created_at", "id"),
    Index(None, "expires_at"),
    Index(None, "owner"),
)

BATCHES = Table(
    "batches",
    METADATA,
    Column("id", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("url", String, nullable=False),
    Column("input_file", String, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", BIG, nullable=False),
    Column("metadata", JSON_VALUE, nullable=False),
    Column("times", JSON_VALUE, nullable=False),
    Column("total", Integer, nullable=False),
    Column("completed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("problems", JSON_VALUE, nullable=False),
    Column("output_file", String, nullable=False),
    Column("error_file", String, nullable=False),
    Column("output_expiry_s", Integer, nullable=False),
    Index(None, "created_at", "id"),
    Index(None, "state"),
)
