"""Why a profile does not hold any more."""

import sqlalchemy as sa
from alembic import op

revision = "0011_stale_profiles"
down_revision = "0007_batches"


def upgrade() -> None:
    """Adds the column; what was measured before is taken to hold."""
    op.add_column("profiles", sa.Column("stale", sa.Text(), nullable=False, server_default=""))
