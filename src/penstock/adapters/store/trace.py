"""The requests of a past period as a trace: reads the request ledger, and claims and changes nothing."""

from collections.abc import Sequence

from sqlalchemy import select

from penstock.adapters.store.database import open_engine, parse_url, transaction
from penstock.adapters.store.tables.requests import REQUESTS
from penstock.domain.errors import DoesNotExist
from penstock.domain.simulated_market import Arrival


async def past_requests(url: str, endpoint: str, since_ms: int, until_ms: int) -> Sequence[Arrival]:
    """What an endpoint was asked from `since_ms` until before `until_ms` (epoch milliseconds), the first at 0 s.

    Requests whose tokens are not known (refused before they were counted) are left out. Raises DoesNotExist if nothing
    is left, InvalidParameter for another URL, Temporary if the database cannot be reached.
    """
    columns = REQUESTS.c
    query = (
        select(columns.received_at, columns.prompt_tokens, columns.completion_tokens)
        .where(
            columns.endpoint_name == endpoint,
            columns.received_at >= since_ms,
            columns.received_at < until_ms,
            columns.prompt_tokens > 0,
        )
        .order_by(columns.received_at)
    )
    engine = open_engine(parse_url(url))
    try:
        async with transaction(engine) as connection:
            rows = (await connection.execute(query)).all()
    finally:
        await engine.dispose()
    if not rows:
        raise DoesNotExist(f"The ledger has no requests of endpoint '{endpoint}' in that time.")
    begin = rows[0].received_at
    return [Arrival((row.received_at - begin) / 1000, row.prompt_tokens, row.completion_tokens) for row in rows]
