"""The device of each replica."""

import sqlalchemy as sa
from alembic import op

revision = "0008_devices"
down_revision = "0005_ledger"


def upgrade() -> None:
    """Adds the column; replicas of before ran on the only device."""
    op.add_column("replicas", sa.Column("device", sa.String(), nullable=False, server_default=""))
