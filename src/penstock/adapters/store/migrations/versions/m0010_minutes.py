"""The ledger's minutes and hours."""

import sqlalchemy as sa
from alembic import op

revision = "0010_minutes"
down_revision = "0006_scaling"

TOTALS = (
    "offered_milli",
    "admitted_milli",
    "attained_milli",
    "requests",
    "completed",
    "failed",
    "cancelled",
    "rejected",
    "breaches",
    "prompt_tokens",
    "completion_tokens",
    "metered_prompt_tokens",
    "metered_completion_tokens",
)


def upgrade() -> None:
    """Adds the tables, and what places a request in them; rows from before stay outside of the ledger."""
    op.add_column("requests", sa.Column("minute", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.add_column("requests", sa.Column("open_from", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.add_column("requests", sa.Column("digest", sa.String(), nullable=False, server_default=sa.text("''")))
    op.create_index(op.f("ix_requests_minute_request_id"), "requests", ["minute", "request_id"])
    op.create_table(
        "ledger_minutes",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("served_entity", sa.String(), nullable=False),
        sa.Column("endpoint_name", sa.String(), nullable=False),
        *_promise(),
        sa.Column("known_ms", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in TOTALS),
        *(
            sa.Column(f"{measure}_p{part}_ms", sa.Float(), nullable=False)
            for measure in ("ttft", "tpot", "queue")
            for part in (50, 95, 99)
        ),
        sa.Column("refusals", sa.Text(), nullable=False),
        sa.Column("requests_digest", sa.String(), nullable=False),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_minutes")),
        sa.UniqueConstraint(
            "minute",
            "endpoint_id",
            "served_entity",
            name=op.f("uq_ledger_minutes_minute_endpoint_id_served_entity"),
        ),
    )
    op.create_table(
        "ledger_hours",
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("served_entity", sa.String(), nullable=False),
        sa.Column("endpoint_name", sa.String(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        *_promise(),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in TOTALS),
        sa.Column("minutes_digest", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "endpoint_id", "served_entity", name=op.f("pk_ledger_hours")),
    )
    op.create_table(
        "ledger_promises",
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("served_entity", sa.String(), nullable=False),
        *_promise(),
        sa.Column("known_ms", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "endpoint_id", "served_entity", name=op.f("pk_ledger_promises")),
    )


def _promise() -> list[sa.Column[object]]:
    return [
        sa.Column("promised_milli", sa.BigInteger(), nullable=False),
        sa.Column("peak", sa.Float(), nullable=False),
        sa.Column("chunk", sa.Float(), nullable=False),
    ]
