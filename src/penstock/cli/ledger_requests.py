"""`penstock ledger requests`: the requests of an endpoint one by one, each with what the gate decided on it."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from penstock.cli.ledger_source import Job, nothing_of, period, told, wide_console, write_csv
from penstock.control.ledger_period import kept_since
from penstock.domain.errors import DoesNotExist, InvalidParameter
from penstock.domain.ledger_checkpoint import Part
from penstock.domain.usage import RequestRecord
from penstock.ports.store import Unit

PAGE = 1000
MEASURES = (
    "prompt_tokens", "completion_tokens", "cached_tokens", "device_s", "measured_s", "queue_ms", "ttft_ms",
    "duration_ms",
)  # fmt: skip
COLUMNS = (
    "utc", "request_id", "outcome", "status", "lane", *MEASURES, "decision", "reason", "estimated", "trace_id",
)  # fmt: skip
_TRACE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, as given. `trace` is the id of a trace, empty for all requests."""

    endpoint: str
    since: str
    until: str
    trace: str
    limit: int
    csv: Path | None


def job(wish: Wish) -> Job:
    """The list; raises InvalidParameter and DoesNotExist."""

    async def run(unit: Unit) -> int:
        since, until = period(wish.since, wish.until)
        trace = _checked(wish.trace)
        known = await unit.ledger.endpoints()
        every = _read(unit, wish.endpoint, since, until)
        found = [record async for record in every if trace in {"", record.trace_id}]
        if not found and wish.endpoint not in known and wish.endpoint not in known.values():
            raise DoesNotExist(await nothing_of(unit, wish.endpoint))
        if wish.csv:
            write_csv(wish.csv, COLUMNS, map(_cells, found))
        _print(found[-wish.limit :], len(found))
        kept = await kept_since(unit, Part.REQUESTS)
        if since < kept:
            print(f"Single requests are kept from {told(kept)} on.")
        return 0

    return run


def _checked(trace: str) -> str:
    """The id as the ledger has it; raises InvalidParameter."""
    given = trace.strip().lower()
    if given and not _TRACE.fullmatch(given):
        raise InvalidParameter(f"--trace must be a trace's id, 32 hexadecimal digits, but is '{trace[:80]}'.")
    return given


async def _read(unit: Unit, endpoint: str, since: int, until: int) -> AsyncIterator[RequestRecord]:
    """By the minute that counts them."""
    after = (since, "")
    while page := await unit.requests.in_ledger(after, limit=PAGE):
        for record in page:
            if record.minute >= until:
                return
            if endpoint in {record.endpoint_name, record.endpoint_id}:
                yield record
        after = (page[-1].minute, page[-1].request_id)


def _cells(record: RequestRecord) -> list[object]:
    usage = record.usage
    at = datetime.fromtimestamp(record.received_at / 1000, UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")
    tokens = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
    seconds = (round(record.device_s, 4), round(usage.measured_s, 4))
    times = (record.queue_ms, record.ttft_ms, record.duration_ms)
    head = (at, record.request_id, record.outcome.value, record.status, record.lane)
    words = (record.decision, record.reason, int(usage.estimated), record.trace_id)
    return [*head, *tokens, *seconds, *times, *words]


def _print(records: list[RequestRecord], count: int) -> None:
    table = Table(title=f"{len(records)} of {count} requests", title_justify="left")
    for name in ("utc", "outcome"):
        table.add_column(name, no_wrap=True)
    for name in ("in", "out", "predicted s", "measured s", "queue ms", "first token ms", "ms"):
        table.add_column(name, justify="right")
    table.add_column("decision")
    for record in records:
        at, _, outcome, status, _, tokens_in, tokens_out, _, device_s, measured_s, queue, ttft, whole, *words = _cells(
            record
        )
        figures = (tokens_in, tokens_out, device_s, measured_s, queue, ttft, whole)
        why = words[0] or words[1]
        table.add_row(str(at), f"{outcome} {status}", *(str(figure) for figure in figures), str(why))
    wide_console().print(table)
