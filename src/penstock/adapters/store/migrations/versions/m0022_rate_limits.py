"""Rate limits of endpoints."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0022_rate_limits"
down_revision = "0021_external_models"


def upgrade() -> None:
    """Adds what endpoints may be limited to; those that there are have no limits."""
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    op.add_column("endpoints", sa.Column("rate_limits", json, nullable=False, server_default=sa.text("'[]'")))
    op.add_column("endpoints", sa.Column("rate_limits_legacy", sa.Boolean(), nullable=False, server_default=sa.false()))
