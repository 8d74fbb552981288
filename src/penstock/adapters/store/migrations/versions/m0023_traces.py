"""The traces of requests; tokens that are for one endpoint, or were made by another than their owner."""

import sqlalchemy as sa
from alembic import op

revision = "0023_traces"
down_revision = "0018_grants"


def upgrade() -> None:
    """Adds all three; what is there has none of them."""
    for table, column in (("requests", "trace_id"), ("tokens", "endpoint_id"), ("tokens", "creator_id")):
        op.add_column(table, sa.Column(column, sa.String(), nullable=False, server_default=sa.text("''")))
