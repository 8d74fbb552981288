"""Brings a database's schema up to date."""

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from penstock.adapters.store.migrations import HEAD
from penstock.domain.errors import Conflict


def migrate(connection: Connection) -> None:
    """Runs the migrations that are missing, in the caller's transaction: all of them or none.

    Raises Conflict if the database has a revision that this version does not know.
    """
    if _revision(connection) == HEAD:
        return
    # A tenth of the start's time, which only the first one and one after an upgrade need.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "penstock.adapters.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Conflict(f"The database's schema cannot be brought up to date: {error}") from error


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision
