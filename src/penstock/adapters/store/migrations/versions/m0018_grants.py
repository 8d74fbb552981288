"""Grants on the catalogue. Everybody keeps what everybody could do: it is granted to `users` on each catalog."""

import sqlalchemy as sa
from alembic import op

revision = "0018_grants"
down_revision = "0020_endpoint_fields"

OPEN = ("USE_CATALOG", "USE_SCHEMA", "CREATE_SCHEMA", "CREATE_MODEL", "EXECUTE", "MODIFY", "APPLY_TAG")


def upgrade() -> None:
    """Adds the table, with a grant for what there is."""
    grants = op.create_table(
        "grants",
        sa.Column("securable_id", sa.String(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("privilege", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("securable_id", "principal", "privilege", name=op.f("pk_grants")),
    )
    op.create_index(op.f("ix_grants_principal"), "grants", ["principal"])
    catalogs = sa.table("catalogs", sa.column("id", sa.String))
    ids = [row.id for row in op.get_bind().execute(sa.select(catalogs.c.id))]
    rows = [{"securable_id": one, "principal": "users", "privilege": privilege} for one in ids for privilege in OPEN]
    if rows:
        op.bulk_insert(grants, rows)
