"""The audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0019_audit"
down_revision = "0017_acls"

TEXTS = ("principal", "token_id", "method", "route", "object_type", "object_name", "address", "forwarded_for")


def upgrade() -> None:
    """Adds the table."""
    op.create_table(
        "audit",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in TEXTS),
        sa.Column("user_agent", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"])
    op.create_index(op.f("ix_audit_principal_id"), "audit", ["principal", "id"])
    op.create_index(op.f("ix_audit_object_name_id"), "audit", ["object_name", "id"])
    op.create_index(op.f("ix_audit_request_id"), "audit", ["request_id"])
