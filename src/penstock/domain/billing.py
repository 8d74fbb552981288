"""What the ledger comes to in money: the highest band of each hour in chunk-hours, and tokens that are paid singly."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal

from penstock.domain.errors import InvalidParameter
from penstock.domain.ledger_hour import LedgerHour, chunks_of, hour_of
from penstock.domain.ledger_minute import LedgerMinute

MILLION = 1_000_000
CENT = Decimal("0.01")
MILLIONTH = Decimal("0.000001")
MOST_PRICE = 1_000_000_000
_FIELDS = ("chunk_hour", "input_million", "output_million")


@dataclass(frozen=True, slots=True)
class Price:
    """Of a chunk for an hour, and of a million input and output tokens; None where none is named."""

    chunk_hour: Decimal | None = None
    input_million: Decimal | None = None
    output_million: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """A price table: each price of the endpoint wins over that of the model, and that over `default`.

    `listed` are prices by model that hold where the table names none.
    """

    currency: str
    endpoints: Mapping[str, Price]
    models: Mapping[str, Price]
    default: Price | None = None
    listed: Mapping[str, Price] = field(default_factory=dict)

    def of(self, endpoint: str, model: str) -> Price:
        """The price, as far as the table names it."""
        tables = [self.endpoints.get(endpoint), self.models.get(model), self.default, self.listed.get(model)]
        named = {name: [getattr(table, name) for table in tables if table is not None] for name in _FIELDS}
        return Price(**{name: next((one for one in prices if one is not None), None) for name, prices in named.items()})


@dataclass(frozen=True, slots=True)
class Line:
    """What one served entity comes to. `hours` are those in which it held throughput."""

    endpoint: str
    entity: str
    model: str
    hours: int
    chunk_hours: int
    input_tokens: int
    output_tokens: int
    amount: Decimal


@dataclass(slots=True)
class _Use:
    endpoint: str = ""
    chunks: dict[int, int] = field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0

    def lacking(self, price: Price) -> list[str]:
        """The prices of what was used that are not named."""
        used = zip(_FIELDS, (bool(self.chunks), self.input_tokens, self.output_tokens), strict=True)
        return [name for name, count in used if count and getattr(price, name) is None]


def bill(
    rows: Iterable[LedgerMinute | LedgerHour],
    prices: Prices,
    models: Mapping[tuple[str, str], str],
    *,
    to: Decimal = CENT,
) -> Sequence[Line]:
    """One line for each served entity that held throughput or was paid by the token, by endpoint and entity.

    `models` tells the model of an endpoint's id and served entity. Amounts are rounded `to` cents, half of one up.
    Raises InvalidParameter that names every endpoint without a price.
    """
    uses: dict[tuple[str, str], _Use] = {}
    for row in rows:
        use = uses.setdefault((row.key.endpoint_id, row.key.entity), _Use())
        use.endpoint = row.endpoint_name or use.endpoint
        hour, chunks = _chunks(row)
        if chunks:
            use.chunks[hour] = max(use.chunks.get(hour, 0), chunks)
        use.input_tokens += row.totals.metered_prompt_tokens
        use.output_tokens += row.totals.metered_completion_tokens
    lines: list[Line] = []
    missing: set[str] = set()
    for (endpoint_id, entity), use in uses.items():
        if use.chunks or use.input_tokens or use.output_tokens:
            endpoint, model = use.endpoint or endpoint_id, models.get((endpoint_id, entity), "")
            price = prices.of(endpoint, model)
            lacking = use.lacking(price)
            if lacking:
                whose = f"of the model {model}" if model else "its model is not known any more"
                missing.add(f"{' and '.join(lacking)} for the endpoint '{endpoint}' ({whose})")
            chunk_hours, tokens = sum(use.chunks.values()), (use.input_tokens, use.output_tokens)
            lines.append(Line(endpoint, entity, model, len(use.chunks), chunk_hours, *tokens, _amount(use, price, to)))
    if missing:
        raise InvalidParameter(f"prices has no {', no '.join(sorted(missing))}, and no default for it.")
    return sorted(lines, key=lambda line: (line.endpoint, line.entity))


def hourly(
    rows: Sequence[LedgerMinute | LedgerHour], prices: Prices, models: Mapping[tuple[str, str], str]
) -> Sequence[tuple[int, Line]]:
    """The lines of each hour (its beginning, epoch milliseconds), to millionths, so that they add up to the bill."""
    # Prices go by names, and rows without a request have none.
    names = {row.key.endpoint_id: row.endpoint_name for row in rows if row.endpoint_name}
    hours: dict[int, list[LedgerMinute | LedgerHour]] = {}
    for row in rows:
        named = replace(row, endpoint_name=names.get(row.key.endpoint_id, ""))
        hours.setdefault(_chunks(row)[0], []).append(named)
    return [(hour, line) for hour in sorted(hours) for line in bill(hours[hour], prices, models, to=MILLIONTH)]


def _chunks(row: LedgerMinute | LedgerHour) -> tuple[int, int]:
    """The hour, and the highest band that the row tells of it."""
    if isinstance(row, LedgerHour):
        return row.key.hour, row.chunks
    return hour_of(row.key.minute), chunks_of(row.promise)


def prices_of(document: Mapping[str, object]) -> Prices:
    """A price table as read from TOML; raises InvalidParameter that names the key and its rule."""
    unknown = set(document) - {"currency", "default", "endpoints", "models"}
    if unknown:
        raise InvalidParameter(f"prices: '{min(unknown)}' is not one of currency, default, endpoints and models.")
    currency = document.get("currency")
    if not isinstance(currency, str) or not currency:
        raise InvalidParameter("prices: 'currency' must be a text such as EUR.")
    default = document.get("default")
    return Prices(
        currency,
        {name: _price(given, f"endpoints.{name}") for name, given in _table(document, "endpoints").items()},
        {name: _price(given, f"models.{name}") for name, given in _table(document, "models").items()},
        None if default is None else _price(default, "default"),
    )


def _amount(use: _Use, price: Price, to: Decimal) -> Decimal:
    nothing = Decimal(0)
    tokens = use.input_tokens * (price.input_million or nothing) + use.output_tokens * (price.output_million or nothing)
    amount = sum(use.chunks.values()) * (price.chunk_hour or nothing) + tokens / MILLION
    return amount.quantize(to, ROUND_HALF_UP)


def _table(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = document.get(name, {})
    if not isinstance(found, dict):
        raise InvalidParameter(f"prices: '{name}' must be a table.")
    return found


def _price(given: object, name: str) -> Price:
    if not isinstance(given, dict) or not given:
        raise InvalidParameter(f"prices: '{name}' must be a table of {', '.join(_FIELDS)}.")
    values: dict[str, Decimal] = {}
    for key, value in given.items():
        if key not in _FIELDS:
            raise InvalidParameter(f"prices: '{name}.{key}' is not one of {', '.join(_FIELDS)}.")
        is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        number = Decimal(str(value)) if is_number else Decimal("nan")
        if not number.is_finite() or not 0 <= number <= MOST_PRICE:
            raise InvalidParameter(f"prices: '{name}.{key}' must be a number from 0 to {MOST_PRICE:,}.")
        values[key] = number
    return Price(**values)
