"""`penstock scaling decisions`."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import aiohttp

from penstock.cli.asked_server import server_url

_OK = 200
_TIMEOUT_S = 30.0


def run(url: str, token: str, endpoint: str, limit: int) -> int:
    """Prints the newest changes, oldest first; 1 if the server says no or cannot be reached."""
    try:
        status, answer = asyncio.run(_read(url, token, endpoint, limit))
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        print(f"The server cannot be asked: {error or type(error).__name__}.", file=sys.stderr)
        return 1
    if status != _OK:
        print(answer.get("message", f"The server answered with {status}."), file=sys.stderr)
        return 1
    print(table(answer["decisions"]))
    return 0


async def _read(url: str, token: str, endpoint: str, limit: int) -> tuple[int, dict[str, Any]]:
    base = server_url(url).rstrip("/")
    path = f"{base}/api/2.0/serving-endpoints/{quote(endpoint, safe='')}/scaling-decisions?limit={limit}"
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session, session.get(path) as answer:
        return answer.status, await answer.json(content_type=None)


def table(decisions: Sequence[dict[str, Any]]) -> str:
    """A line for each change; `decisions` come newest first."""
    if not decisions:
        return "Nothing was changed yet."
    return "\n".join(
        f"{datetime.fromtimestamp(one['timestamp'] / 1000, UTC):%Y-%m-%d %H:%M:%S}  {one['served_entity_name']}  "
        f"{one['old']:,.0f} > {one['new']:,.0f} tokens/s  {one['reason']}"
        for one in reversed(decisions)
    )
