"""Principals, tokens and client secrets."""

import sqlalchemy as sa
from alembic import op

revision = "0001_access"
down_revision = None


def upgrade() -> None:
    """Adds the tables."""
    op.create_table(
        "installation",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_installation")),
    )
    op.create_table(
        "principals",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principals")),
        sa.UniqueConstraint("name", name=op.f("uq_principals_name")),
    )
    _add_memberships()
    _add_tokens()
    _add_client_secrets()


def _principal(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_principal_id_principals")
    return sa.ForeignKeyConstraint(["principal_id"], ["principals.id"], name=name, ondelete="CASCADE")


def _add_memberships() -> None:
    op.create_table(
        "memberships",
        sa.Column("principal_id", sa.String(), nullable=False),
        sa.Column("group_name", sa.String(), nullable=False),
        _principal("memberships"),
        sa.PrimaryKeyConstraint("principal_id", "group_name", name=op.f("pk_memberships")),
    )


def _add_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("principal_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        _principal("tokens"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
    )
    op.create_index(op.f("ix_tokens_principal_id"), "tokens", ["principal_id"])
    op.create_index(op.f("ix_tokens_expires_at"), "tokens", ["expires_at"])


def _add_client_secrets() -> None:
    op.create_table(
        "client_secrets",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("principal_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        _principal("client_secrets"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client_secrets")),
        sa.UniqueConstraint("digest", name=op.f("uq_client_secrets_digest")),
    )
    op.create_index(op.f("ix_client_secrets_principal_id"), "client_secrets", ["principal_id"])
