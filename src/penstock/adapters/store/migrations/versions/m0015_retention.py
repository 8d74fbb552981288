"""How long things are kept: a chain of hours that outlives the minutes, and files of batches that expire."""

import sqlalchemy as sa
from alembic import op

revision = "0015_retention"
down_revision = "0012_decisions"

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
    """Adds what retention needs. Files of batches that are there already stay until they are deleted."""
    _ledger()
    op.add_column("batch_files", sa.Column("expires_at", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.create_index(op.f("ix_batch_files_expires_at"), "batch_files", ["expires_at"])
    op.create_index(op.f("ix_batch_files_owner"), "batch_files", ["owner"])
    op.add_column("batches", sa.Column("output_expiry_s", sa.Integer(), nullable=False, server_default=sa.text("0")))


def _ledger() -> None:
    """Makes the hours anew, empty: the server sums them again from the minutes, which are all there."""
    op.drop_table("ledger_hours")
    op.create_table(
        "ledger_hours",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("served_entity", sa.String(), nullable=False),
        sa.Column("endpoint_name", sa.String(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("promised_milli", sa.BigInteger(), nullable=False),
        sa.Column("peak", sa.Float(), nullable=False),
        sa.Column("chunk", sa.Float(), nullable=False),
        sa.Column("known_ms", sa.Integer(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in TOTALS),
        sa.Column("minutes_digest", sa.String(), nullable=False),
        sa.Column("previous", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_hours")),
        sa.UniqueConstraint(
            "hour", "endpoint_id", "served_entity", name=op.f("uq_ledger_hours_hour_endpoint_id_served_entity")
        ),
    )
    op.create_table(
        "ledger_checkpoints",
        sa.Column("part", sa.String(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("part", name=op.f("pk_ledger_checkpoints")),
    )
