"""Endpoints, their configurations, replicas and profiles."""

import sqlalchemy as sa
from alembic import op

from penstock.adapters.store.schema import JSON_VALUE

revision = "0003_endpoints"
down_revision = "0002_catalog"


def upgrade() -> None:
    """Adds the tables."""
    _add_endpoints()
    _add_configs()
    _add_replicas()
    _add_profiles()


def _of_endpoint(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_endpoint_id_endpoints")
    return sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name=name, ondelete="CASCADE")


def _add_endpoints() -> None:
    op.create_table(
        "endpoints",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("taken_name", sa.String(), nullable=True),
        sa.Column("creator", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("route_optimized", sa.Boolean(), nullable=False),
        sa.Column("tags", JSON_VALUE, nullable=False),
        sa.Column("active_version", sa.Integer(), nullable=True),
        sa.Column("latest_version", sa.Integer(), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoints")),
        sa.UniqueConstraint("taken_name", name=op.f("uq_endpoints_taken_name")),
    )


def _add_configs() -> None:
    op.create_table(
        "endpoint_configs",
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("entities", JSON_VALUE, nullable=False),
        sa.Column("routes", JSON_VALUE, nullable=False),
        sa.Column("task", sa.String(), nullable=True),
        sa.Column("creator", sa.String(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        _of_endpoint("endpoint_configs"),
        sa.PrimaryKeyConstraint("endpoint_id", "version", name=op.f("pk_endpoint_configs")),
    )


def _add_replicas() -> None:
    op.create_table(
        "replicas",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("entity_name", sa.String(), nullable=False),
        sa.Column("entity_version", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("pid_started", sa.Float(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        _of_endpoint("replicas"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replicas")),
    )
    op.create_index(op.f("ix_replicas_endpoint_id"), "replicas", ["endpoint_id"])
    op.create_index(op.f("ix_replicas_state"), "replicas", ["state"])


def _add_profiles() -> None:
    op.create_table(
        "profiles",
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("precision", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("throughput", sa.Float(), nullable=False),
        sa.Column("knee", sa.Integer(), nullable=False),
        sa.Column("curve", JSON_VALUE, nullable=False),
        sa.Column("cost", JSON_VALUE, nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("startup_s", sa.Float(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.Column("measured_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", "engine", "precision", "device", name=op.f("pk_profiles")),
    )
