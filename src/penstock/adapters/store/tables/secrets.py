"""Tables of secret scopes, their ACLs and sealed secrets. What is folded is the key; what was given is shown."""

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, String, Table

from penstock.adapters.store.schema import BIG, METADATA

SECRET_SCOPES = Table(
    "secret_scopes",
    METADATA,
    Column("folded", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("created_at", BIG, nullable=False),
)

SECRET_ACLS = Table(
    "secret_acls",
    METADATA,
    Column("scope", ForeignKey("secret_scopes.folded", ondelete="CASCADE"), primary_key=True),
    # No foreign key: groups have their items too.
    Column("principal", String, primary_key=True),
    Column("permission", String, nullable=False),
    Index(None, "principal"),
)

SECRETS = Table(
    "secrets",
    METADATA,
    Column("scope", ForeignKey("secret_scopes.folded", ondelete="CASCADE"), primary_key=True),
    Column("folded", String, primary_key=True),
    Column("key", String, nullable=False),
    Column("key_id", String, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("updated_at", BIG, nullable=False),
    Index(None, "key_id"),
)
