"""What a profile's cost model errs on shapes that it was not fitted to."""

import sqlalchemy as sa
from alembic import op

revision = "0009_profile_errors"
down_revision = "0010_minutes"


def upgrade() -> None:
    """Adds the columns."""
    op.add_column("profiles", sa.Column("held_out_mean", sa.Float(), nullable=True))
    op.add_column("profiles", sa.Column("held_out_worst", sa.Float(), nullable=True))
