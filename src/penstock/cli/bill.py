"""`penstock bill`."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from penstock.adapters.foundation.catalogue import load_foundation
from penstock.cli.ledger_source import Job, period, told, write_csv
from penstock.control.ledger_period import rows_of
from penstock.domain.billing import Line, Prices, bill, hourly, prices_of
from penstock.domain.errors import InvalidParameter
from penstock.domain.foundation import CURRENCY
from penstock.ports.store import Unit

COLUMNS = ("endpoint", "entity", "model", "hours", "chunk_hours", "input_tokens", "output_tokens", "amount")
BY_HOUR = tuple(name for name in COLUMNS if name != "hours")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, as given."""

    since: str
    until: str
    prices: Path
    csv: Path | None
    hours: Path | None


def job(wish: Wish) -> Job:
    """The bill; raises InvalidParameter."""

    async def run(unit: Unit) -> int:
        since, until = period(wish.since, wish.until)
        prices = _with_listed(_prices(wish.prices))
        rows = await rows_of(unit, since, until, by_hour=True)
        models: dict[tuple[str, str], str] = {}
        for endpoint_id in {row.key.endpoint_id for row in rows}:
            endpoint = await unit.endpoints.by_id(endpoint_id)
            configs = (endpoint.active, endpoint.latest) if endpoint else ()
            for entity in (entity for config in configs if config for entity in config.entities):
                models[endpoint_id, entity.name] = entity.entity_name
        lines = bill(rows, prices, models)
        _print(lines, prices.currency)
        if not lines:
            Console().print("Nobody held throughput or was paid by the token in that time.")
        if wish.csv:
            write_csv(wish.csv, [*COLUMNS, "currency"], ([*_values(line, COLUMNS), prices.currency] for line in lines))
        if wish.hours:
            hours = hourly(rows, prices, models)
            values = ([told(at), *_values(line, BY_HOUR), prices.currency] for at, line in hours)
            write_csv(wish.hours, ["utc", *BY_HOUR, "currency"], values)
        return 0

    return run


def _values(line: Line, columns: Sequence[str]) -> list[object]:
    return [getattr(line, name) for name in columns]


def _prices(path: Path) -> Prices:
    try:
        return prices_of(tomllib.loads(path.read_text(), parse_float=Decimal))
    except OSError as error:
        raise InvalidParameter(f"The price file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"The price file {path} is not TOML: {error}.") from error


def _with_listed(prices: Prices) -> Prices:
    """With those of the catalogue of foundation models, if the bill is in their currency."""
    return replace(prices, listed=load_foundation().prices()) if prices.currency == CURRENCY else prices


def _print(lines: Sequence[Line], currency: str) -> None:
    table = Table()
    for name in COLUMNS:
        table.add_column(name.replace("_", " "), justify="left" if name in COLUMNS[:3] else "right")
    for line in lines:
        table.add_row(*(str(getattr(line, name)) for name in COLUMNS))
    table.add_section()
    total = sum((line.amount for line in lines), Decimal("0.00"))
    table.add_row("total", *[""] * (len(COLUMNS) - 2), f"{total} {currency}", style="bold")
    Console().print(table)
