"""Tables of catalogs, schemas, registered models, versions, aliases, tags and multipart uploads."""

from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Index, Integer, String, Table, UniqueConstraint

from penstock.adapters.store.schema import BIG, JSON_VALUE, METADATA

# Names sort by code point on every database, as pages of lists rely on.
NAME = String().with_variant(String(collation="C"), "postgresql")


def _stamps() -> list[Column[object]]:
    return [
        Column("creator", String, nullable=False),
        Column("created_at", BIG, nullable=False),
        Column("updated_by", String, nullable=False),
        Column("updated_at", BIG, nullable=False),
    ]


CATALOGS = Table(
    "catalogs",
    METADATA,
    Column("id", String, primary_key=True),
    Column("name", NAME, nullable=False, unique=True),
    Column("owner", String, nullable=False),
    Column("comment", String, nullable=False),
    Column("properties", JSON_VALUE, nullable=False),
    *_stamps(),
)

SCHEMAS = Table(
    "schemas",
    METADATA,
    Column("id", String, primary_key=True),
    Column("catalog", ForeignKey("catalogs.name"), nullable=False),
    Column("name", NAME, nullable=False),
    Column("owner", String, nullable=False),
    Column("comment", String, nullable=False),
    Column("properties", JSON_VALUE, nullable=False),
    *_stamps(),
    UniqueConstraint("catalog", "name"),
)

MODELS = Table(
    "models",
    METADATA,
    Column("id", String, primary_key=True),
    Column("catalog", NAME, nullable=False),
    Column("schema", NAME, nullable=False),
    Column("name", NAME, nullable=False),
    Column("full_name", NAME, nullable=False, unique=True),
    Column("owner", String, nullable=False),
    Column("description", String, nullable=False),
    Column("last_number", Integer, nullable=False),
    *_stamps(),
    ForeignKeyConstraint(["catalog", "schema"], ["schemas.catalog", "schemas.name"]),
    Index(None, "catalog", "schema"),
)

VERSIONS = Table(
    "versions",
    METADATA,
    Column("model_id", ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("status", String, nullable=False),
    Column("status_message", String, nullable=False),
    Column("storage", String, nullable=False, unique=True),
    Column("digest", String, nullable=False),
    Column("facts", JSON_VALUE),
    Column("source", String, nullable=False),
    Column("run_id", String, nullable=False),
    Column("description", String, nullable=False),
    Column("lineage", JSON_VALUE, nullable=False),
    *_stamps(),
    Index(None, "status", "created_at"),
    Index(None, "run_id"),
)

ALIASES = Table(
    "aliases",
    METADATA,
    Column("model_id", String, primary_key=True),
    Column("alias", NAME, primary_key=True),
    Column("number", Integer, nullable=False),
    ForeignKeyConstraint(["model_id", "number"], ["versions.model_id", "versions.number"], ondelete="CASCADE"),
)

MODEL_TAGS = Table(
    "model_tags",
    METADATA,
    Column("model_id", ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    Column("key", NAME, primary_key=True),
    Column("value", String, nullable=False),
)

VERSION_TAGS = Table(
    "version_tags",
    METADATA,
    Column("model_id", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key", NAME, primary_key=True),
    Column("value", String, nullable=False),
    ForeignKeyConstraint(["model_id", "number"], ["versions.model_id", "versions.number"], ondelete="CASCADE"),
)

UPLOADS = Table(
    "uploads",
    METADATA,
    Column("session", String, primary_key=True),
    Column("storage", String, nullable=False),
    Column("path", String, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", BIG, nullable=False),
    Column("updated_at", BIG, nullable=False),
    Index(None, "updated_at"),
)
