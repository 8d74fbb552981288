"""Changes of allotments."""

import sqlalchemy as sa
from alembic import op

revision = "0006_scaling"
down_revision = "0008_devices"


def upgrade() -> None:
    """Adds the table."""
    op.create_table(
        "scaling",
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("old", sa.Float(), nullable=False),
        sa.Column("new", sa.Float(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("chunk", sa.Float(), nullable=False),
        sa.Column("mean", sa.Float(), nullable=False),
        sa.Column("burst", sa.Float(), nullable=False),
        sa.Column("backlog", sa.Float(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("free", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint_id", "entity", "at", name=op.f("pk_scaling")),
    )
    op.create_index(op.f("ix_scaling_endpoint_id_at"), "scaling", ["endpoint_id", "at"])
    op.create_index(op.f("ix_scaling_at"), "scaling", ["at"])
