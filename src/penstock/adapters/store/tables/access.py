"""Tables of principals, tokens and client secrets."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table

from penstock.adapters.store.schema import BIG, METADATA

INSTALLATION = Table(
    "installation",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)

PRINCIPALS = Table(
    "principals",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("display_name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", BIG, nullable=False),
)

MEMBERSHIPS = Table(
    "memberships",
    METADATA,
    Column("principal_id", ForeignKey("principals.id", ondelete="CASCADE"), primary_key=True),
    Column("group_name", String, primary_key=True),
)

GROUPS = Table(
    "principal_groups",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("created_at", BIG, nullable=False),
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("id", String, primary_key=True),
    Column("principal_id", ForeignKey("principals.id", ondelete="CASCADE"), nullable=False),
    Column("digest", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("scope", String, nullable=False),
    Column("comment", String, nullable=False),
    Column("created_at", BIG, nullable=False),
    Column("expires_at", BIG),
    Column("last_used_at", BIG),
    Column("endpoint_id", String, nullable=False),
    Column("creator_id", String, nullable=False),
    Index(None, "principal_id"),
    Index(None, "expires_at"),
)

CLIENT_SECRETS = Table(
    "client_secrets",
    METADATA,
    Column("id", String, primary_key=True),
    Column("principal_id", ForeignKey("principals.id", ondelete="CASCADE"), nullable=False),
    Column("digest", String, nullable=False, unique=True),
    Column("created_at", BIG, nullable=False),
    Column("expires_at", BIG, nullable=False),
    Index(None, "principal_id"),
)
