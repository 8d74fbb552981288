"""More of endpoints: whether they are stopped, who is told of updates, telemetry and the policy of their usage."""

import sqlalchemy as sa
from alembic import op

from penstock.adapters.store.schema import JSON_VALUE

revision = "0020_endpoint_fields"
down_revision = "0019_audit"


def upgrade() -> None:
    """Adds the columns; endpoints that are there have none of it."""
    with op.batch_alter_table("endpoints") as batch:
        batch.add_column(sa.Column("stopped_version", sa.Integer()))
        batch.add_column(sa.Column("notifications", JSON_VALUE))
        batch.add_column(sa.Column("telemetry", JSON_VALUE))
        batch.add_column(sa.Column("usage_policy", sa.String(), nullable=False, server_default=""))
