"""The traces that requests are part of, and tokens that are for one endpoint."""

import sqlalchemy as sa
from alembic import op

revision = "0023_traces"
down_revision = "0018_grants"


def upgrade() -> None:
    """Adds both; requests from before have no trace, and tokens from before are for all endpoints."""
    for table, column in (("requests", "trace_id"), ("tokens", "endpoint_id")):
        op.add_column(table, sa.Column(column, sa.String(), nullable=False, server_default=sa.text("''")))
