"""The tables of the ledger's minutes and hours."""

from sqlalchemy import Column, Float, Integer, String, Table, Text, UniqueConstraint

from penstock.adapters.store.schema import BIG, METADATA
from penstock.domain.ledger_sums import Totals

_MEASURES = ("ttft", "tpot", "queue")

# As in `requests`, no foreign key: the ledger outlives what it tells of.
MINUTES = Table(
    "ledger_minutes",
    METADATA,
    Column("number", BIG, primary_key=True, autoincrement=False),
    Column("minute", BIG, nullable=False),
    Column("endpoint_id", String, nullable=False),
    Column("served_entity", String, nullable=False),
    Column("endpoint_name", String, nullable=False),
    Column("promised_milli", BIG, nullable=False),
    Column("peak", Float, nullable=False),
    Column("chunk", Float, nullable=False),
    Column("known_ms", Integer, nullable=False),
    *(Column(name, BIG, nullable=False) for name in Totals.__slots__),
    *(Column(f"{measure}_p{part}_ms", Float, nullable=False) for measure in _MEASURES for part in (50, 95, 99)),
    Column("refusals", Text, nullable=False),
    Column("requests_digest", String, nullable=False),
    Column("previous", String, nullable=False),
    Column("hash", String, nullable=False),
    UniqueConstraint("minute", "endpoint_id", "served_entity"),
)

HOURS = Table(
    "ledger_hours",
    METADATA,
    Column("number", BIG, primary_key=True, autoincrement=False),
    Column("hour", BIG, nullable=False),
    Column("endpoint_id", String, nullable=False),
    Column("served_entity", String, nullable=False),
    Column("endpoint_name", String, nullable=False),
    Column("minutes", Integer, nullable=False),
    Column("promised_milli", BIG, nullable=False),
    Column("peak", Float, nullable=False),
    Column("chunk", Float, nullable=False),
    Column("known_ms", Integer, nullable=False),
    Column("chunks", Integer, nullable=False),
    *(Column(name, BIG, nullable=False) for name in Totals.__slots__),
    Column("minutes_digest", String, nullable=False),
    Column("previous", String, nullable=False),
    Column("hash", String, nullable=False),
    UniqueConstraint("hour", "endpoint_id", "served_entity"),
)

CHECKPOINTS = Table(
    "ledger_checkpoints",
    METADATA,
    Column("part", String, primary_key=True),
    Column("until", BIG, nullable=False),
    Column("number", BIG, nullable=False),
    Column("hash", String, nullable=False),
    Column("made_at", BIG, nullable=False),
    Column("seal", String, nullable=False),
)

PROMISES = Table(
    "ledger_promises",
    METADATA,
    Column("minute", BIG, primary_key=True, autoincrement=False),
    Column("endpoint_id", String, primary_key=True),
    Column("served_entity", String, primary_key=True),
    Column("promised_milli", BIG, nullable=False),
    Column("peak", Float, nullable=False),
    Column("chunk", Float, nullable=False),
    Column("known_ms", Integer, nullable=False),
)
