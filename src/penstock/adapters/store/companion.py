"""Another program's tables beside ours: a file next to ours, or a schema of its own in the same PostgreSQL database."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateSchema

from penstock.adapters.store.database import parse_url

_DRIVERS = {"postgresql": "postgresql+psycopg2"}


def companion_url(database: str, schema: str, file: str) -> str:
    """The URL for programs that block: the schema of a PostgreSQL database, or the SQLite file.

    It holds the database's password.
    """
    url = parse_url(database)
    backend = url.get_backend_name()
    if backend == "sqlite":
        return f"sqlite:///{file}"
    query = dict(url.query)
    if "ssl" in query:
        query["sslmode"] = query.pop("ssl")
    query["options"] = f"-csearch_path={schema}"
    return url.set(drivername=_DRIVERS[backend], query=query).render_as_string(hide_password=False)


async def make_schema(connection: AsyncConnection, schema: str) -> None:
    """Makes the schema in a PostgreSQL database, unless it is there; a file needs none."""
    if connection.dialect.name != "postgresql":
        return
    known = await connection.scalar(text("SELECT 1 FROM pg_namespace WHERE nspname = :name"), {"name": schema})
    # Not IF NOT EXISTS: that asks for the right to make schemas even where one is there.
    if known is None:
        await connection.execute(CreateSchema(schema))
