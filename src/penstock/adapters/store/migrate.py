"""Brings a database's schema up to date."""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.engine import Connection

from penstock.domain.errors import Conflict


def migrate(connection: Connection) -> None:
    """Runs the migrations that are missing, in the caller's transaction: all of them or none.

    Raises Conflict if the database has a revision that this version does not know.
    """
    config = Config()
    config.set_main_option("script_location", "penstock.adapters.store:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Conflict(f"The database's schema cannot be brought up to date: {error}") from error
