"""More of what a scaling decision was made from: the band, the start-up time, and the devices."""

import sqlalchemy as sa
from alembic import op

revision = "0014_scaling_inputs"
down_revision = "0015_retention"


def upgrade() -> None:
    """Adds the columns; older rows have zeros."""
    for name in ("minimum", "maximum", "startup_s"):
        op.add_column("scaling", sa.Column(name, sa.Float(), nullable=False, server_default=sa.text("0")))
    op.add_column("scaling", sa.Column("devices", sa.Text(), nullable=False, server_default=""))
