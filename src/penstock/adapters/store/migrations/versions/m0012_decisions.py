"""What the engine measured of a request, and what the gate decided on it."""

import sqlalchemy as sa
from alembic import op

revision = "0012_decisions"
down_revision = "0011_stale_profiles"


def upgrade() -> None:
    """Adds both to the request ledger; rows from before have neither."""
    op.add_column("requests", sa.Column("measured_s", sa.Float(), nullable=False, server_default=sa.text("0")))
    op.add_column("requests", sa.Column("decision", sa.Text(), nullable=False, server_default=sa.text("''")))
