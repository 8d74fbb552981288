"""Grants on endpoints, and groups with ids. Whoever could query an endpoint before still can."""

import json
import secrets

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0017_acls"
down_revision = "0022_rate_limits"

JSON_VALUE = sa.JSON().with_variant(JSONB(), "postgresql")
FIELDS = {"user": "user_name", "service_principal": "service_principal_name"}
GROUPS = sa.table(
    "principal_groups", sa.column("id", sa.String), sa.column("name", sa.String), sa.column("created_at", sa.BigInteger)
)
ENDPOINTS = sa.table(
    "endpoints", sa.column("id", sa.String), sa.column("creator", sa.String), sa.column("acl", JSON_VALUE)
)


def upgrade() -> None:
    """Adds groups, filled from memberships, and the column of grants, filled with what was the rule until now."""
    op.create_table(
        "principal_groups",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principal_groups")),
        sa.UniqueConstraint("name", name=op.f("uq_principal_groups_name")),
    )
    connection = op.get_bind()
    used = connection.scalars(sa.text("SELECT DISTINCT group_name FROM memberships")).all()
    for name in sorted({"admins", "users", *used}):
        number = str(secrets.randbelow(9 * 10**15 - 10**15) + 10**15)
        connection.execute(sa.insert(GROUPS).values(id=number, name=name, created_at=0))
    op.add_column("endpoints", sa.Column("acl", JSON_VALUE, nullable=False, server_default=json.dumps([])))
    kinds = {row.name: row.kind for row in connection.execute(sa.text("SELECT name, kind FROM principals"))}
    for endpoint, creator in connection.execute(sa.select(ENDPOINTS.c.id, ENDPOINTS.c.creator)).all():
        acl = [["group_name", "users", "CAN_QUERY"]]
        if creator in kinds:
            acl.append([FIELDS[kinds[creator]], creator, "CAN_MANAGE"])
        connection.execute(sa.update(ENDPOINTS).where(ENDPOINTS.c.id == endpoint).values(acl=acl))
