"""Secret scopes, their ACLs, and secrets, which are encrypted."""

import sqlalchemy as sa
from alembic import op

revision = "0016_secrets"
down_revision = "0013_places"


def upgrade() -> None:
    """Adds the tables."""
    op.create_table(
        "secret_scopes",
        sa.Column("folded", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("folded", name=op.f("pk_secret_scopes")),
    )
    op.create_table(
        "secret_acls",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("permission", sa.String(), nullable=False),
        _scope("secret_acls"),
        sa.PrimaryKeyConstraint("scope", "principal", name=op.f("pk_secret_acls")),
    )
    op.create_index(op.f("ix_secret_acls_principal"), "secret_acls", ["principal"])
    op.create_table(
        "secrets",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("folded", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        _scope("secrets"),
        sa.PrimaryKeyConstraint("scope", "folded", name=op.f("pk_secrets")),
    )
    op.create_index(op.f("ix_secrets_key_id"), "secrets", ["key_id"])


def _scope(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_scope_secret_scopes")
    return sa.ForeignKeyConstraint(["scope"], ["secret_scopes.folded"], name=name, ondelete="CASCADE")
