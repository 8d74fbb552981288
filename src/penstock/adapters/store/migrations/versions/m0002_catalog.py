"""Catalogs, schemas, registered models, versions, aliases, tags and multipart uploads."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002_catalog"
down_revision = "0001_access"

_NAME = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Adds the tables."""
    _add_catalogs()
    _add_schemas()
    _add_models()
    _add_versions()
    _add_aliases_and_tags()
    _add_uploads()


def _text(name: str, kind: sa.types.TypeEngine[str] | None = None) -> sa.Column[str]:
    return sa.Column(name, kind or sa.String(), nullable=False)


def _stamps() -> list[sa.Column[str] | sa.Column[int]]:
    return [
        _text("creator"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        _text("updated_by"),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
    ]


def _add_catalogs() -> None:
    op.create_table(
        "catalogs",
        _text("id"),
        _text("name", _NAME),
        _text("owner"),
        _text("comment"),
        sa.Column("properties", _JSON, nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalogs")),
        sa.UniqueConstraint("name", name=op.f("uq_catalogs_name")),
    )


def _add_schemas() -> None:
    op.create_table(
        "schemas",
        _text("id"),
        _text("catalog", _NAME),
        _text("name", _NAME),
        _text("owner"),
        _text("comment"),
        sa.Column("properties", _JSON, nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schemas")),
        sa.ForeignKeyConstraint(["catalog"], ["catalogs.name"], name=op.f("fk_schemas_catalog_catalogs")),
        sa.UniqueConstraint("catalog", "name", name=op.f("uq_schemas_catalog_name")),
    )


def _add_models() -> None:
    op.create_table(
        "models",
        _text("id"),
        _text("catalog", _NAME),
        _text("schema", _NAME),
        _text("name", _NAME),
        _text("full_name", _NAME),
        _text("owner"),
        _text("description"),
        sa.Column("last_number", sa.Integer(), nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.ForeignKeyConstraint(
            ["catalog", "schema"], ["schemas.catalog", "schemas.name"], name=op.f("fk_models_catalog_schema_schemas")
        ),
        sa.UniqueConstraint("full_name", name=op.f("uq_models_full_name")),
    )
    op.create_index(op.f("ix_models_catalog_schema"), "models", ["catalog", "schema"])


def _add_versions() -> None:
    op.create_table(
        "versions",
        _text("model_id"),
        sa.Column("number", sa.Integer(), nullable=False),
        _text("status"),
        _text("status_message"),
        _text("storage"),
        _text("digest"),
        sa.Column("facts", _JSON, nullable=True),
        _text("source"),
        _text("run_id"),
        _text("description"),
        sa.Column("lineage", _JSON, nullable=False),
        *_stamps(),
        sa.PrimaryKeyConstraint("model_id", "number", name=op.f("pk_versions")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_versions_model_id_models"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint("storage", name=op.f("uq_versions_storage")),
    )
    op.create_index(op.f("ix_versions_status_created_at"), "versions", ["status", "created_at"])
    op.create_index(op.f("ix_versions_run_id"), "versions", ["run_id"])


def _version(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["model_id", "number"],
        ["versions.model_id", "versions.number"],
        name=op.f(f"fk_{table}_model_id_number_versions"),
        ondelete="CASCADE",
    )


def _add_aliases_and_tags() -> None:
    op.create_table(
        "aliases",
        _text("model_id"),
        _text("alias", _NAME),
        sa.Column("number", sa.Integer(), nullable=False),
        _version("aliases"),
        sa.PrimaryKeyConstraint("model_id", "alias", name=op.f("pk_aliases")),
    )
    op.create_table(
        "model_tags",
        _text("model_id"),
        _text("key", _NAME),
        _text("value"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_model_tags_model_id_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_id", "key", name=op.f("pk_model_tags")),
    )
    op.create_table(
        "version_tags",
        _text("model_id"),
        sa.Column("number", sa.Integer(), nullable=False),
        _text("key", _NAME),
        _text("value"),
        _version("version_tags"),
        sa.PrimaryKeyConstraint("model_id", "number", "key", name=op.f("pk_version_tags")),
    )


def _add_uploads() -> None:
    op.create_table(
        "uploads",
        _text("session"),
        _text("storage"),
        _text("path"),
        _text("state"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("session", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_updated_at"), "uploads", ["updated_at"])
