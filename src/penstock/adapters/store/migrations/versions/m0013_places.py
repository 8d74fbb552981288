"""Replicas that belong to no one endpoint, and the places that endpoints claim."""

import sqlalchemy as sa
from alembic import op

revision = "0013_places"
down_revision = "0014_scaling_inputs"


def upgrade() -> None:
    """Adds the table, fills it from the replicas that run, and makes these everybody's."""
    op.create_table(
        "places",
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["endpoints.id"], name=op.f("fk_places_endpoint_id_endpoints"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("endpoint_id", "spec", "device", name=op.f("pk_places")),
    )
    op.execute(
        "INSERT INTO places (endpoint_id, spec, device, share, memory) "
        "SELECT endpoint_id, spec, device, max(share), max(memory) FROM replicas "
        "WHERE state NOT IN ('draining', 'stopped', 'failed') AND device <> '' GROUP BY endpoint_id, spec, device"
    )
    op.drop_index(op.f("ix_replicas_endpoint_id"), "replicas")
    with op.batch_alter_table("replicas") as batch:
        batch.drop_constraint(op.f("fk_replicas_endpoint_id_endpoints"), type_="foreignkey")
        batch.drop_column("endpoint_id")
        batch.drop_column("share")
        batch.add_column(sa.Column("fatal", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(op.f("ix_replicas_spec"), "replicas", ["spec"])
