"""`penstock audit`: asks the server for pages of its audit log, and prints them."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp

from penstock.domain.errors import InvalidParameter, PenstockError

PAGE = 1000
_OK = 200
_TIMEOUT_S = 30.0


def run(url: str, token: str, wanted: Mapping[str, str], period: tuple[str, str], *, limit: int, as_json: bool) -> int:
    """Prints the newest entries, oldest first; 1 if the server says no or cannot be reached, 2 for a bad option."""
    try:
        times = {"start_time": _moment(period[0], "--from"), "end_time": _moment(period[1], "--to")}
        query = {**wanted, **{name: value for name, value in times.items() if value}}
        entries = asyncio.run(_read(url, token, query, limit))
    except InvalidParameter as error:
        print(error.message, file=sys.stderr)
        return 2
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        return 1
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        print(f"The server cannot be asked: {error or type(error).__name__}.", file=sys.stderr)
        return 1
    print("\n".join(json.dumps(one) for one in reversed(entries)) if as_json else table(entries))
    return 0


def _moment(text: str, option: str) -> str:
    """Epoch milliseconds of an ISO time, UTC if it says nothing else; "" of none."""
    if not text:
        return ""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidParameter(f"{option} must be a time such as 2026-11-21T14:00, but is '{text}'.") from error
    return str(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000))


async def _read(url: str, token: str, query: Mapping[str, str], limit: int) -> list[dict[str, Any]]:
    headers, timeout = {"Authorization": f"Bearer {token}"}, aiohttp.ClientTimeout(total=_TIMEOUT_S)
    found: list[dict[str, Any]] = []
    asked = dict(query)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        while len(found) < limit:
            asked["max_results"] = str(min(limit - len(found), PAGE))
            async with session.get(f"{url.rstrip('/')}/api/2.0/audit-logs", params=asked) as answer:
                body = await answer.json(content_type=None)
            if answer.status != _OK:
                raise PenstockError(body.get("message", f"The server answered with {answer.status}."))
            found += body["audit_logs"]
            if not body["next_page_token"]:
                break
            asked["page_token"] = body["next_page_token"]
    return found


def table(entries: Sequence[dict[str, Any]]) -> str:
    """A line for each entry; `entries` come newest first."""
    if not entries:
        return "Nothing was done."
    return "\n".join(
        f"{datetime.fromtimestamp(one['timestamp'] / 1000, UTC):%Y-%m-%d %H:%M:%S}  {one['principal'] or '-'}  "
        f"{one['action'] or '-'}  {one['object_name'] or '-'}  {one['status_code']} {one['error_code'] or 'OK'}  "
        f"{one['source_ip_address'] or '-'}"
        for one in reversed(entries)
    )
