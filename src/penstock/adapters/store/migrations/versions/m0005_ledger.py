"""What a request cost, and in which lane it was served."""

import sqlalchemy as sa
from alembic import op

revision = "0005_ledger"
down_revision = "0004_requests"


def upgrade() -> None:
    """Adds the columns; the defaults are for rows from before."""
    nothing, no_name = sa.text("0"), sa.text("''")
    for column in (
        sa.Column("device_s", sa.Float(), nullable=False, server_default=nothing),
        sa.Column("reference_tokens", sa.Float(), nullable=False, server_default=nothing),
        sa.Column("asked_tokens", sa.Float(), nullable=False, server_default=nothing),
        sa.Column("priority", sa.String(), nullable=False, server_default=no_name),
        sa.Column("lane", sa.String(), nullable=False, server_default=no_name),
        sa.Column("within", sa.Boolean(), nullable=False, server_default=sa.false()),
    ):
        op.add_column("requests", column)
