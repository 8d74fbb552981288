"""External models, their standing in for each other, and usage that nobody told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0021_external_models"
down_revision = "0016_secrets"


def upgrade() -> None:
    """Adds all three; what is there has none of them."""
    op.add_column(
        "endpoint_configs", sa.Column("externals", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=True)
    )
    op.add_column("endpoints", sa.Column("fallback", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("requests", sa.Column("estimated", sa.Boolean(), nullable=False, server_default=sa.false()))
