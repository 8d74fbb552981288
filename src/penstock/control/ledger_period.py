"""The rows of the ledger that tell of a period: minutes, and hours where minutes are many or no longer kept."""

from collections.abc import Sequence

from penstock.domain.errors import InvalidParameter
from penstock.domain.ledger_checkpoint import Part
from penstock.domain.ledger_hour import HOUR_MS, LedgerHour, hour_of
from penstock.domain.ledger_minute import LedgerMinute
from penstock.domain.ledger_moment import told
from penstock.ports.store import Unit

Rows = Sequence[LedgerMinute | LedgerHour]


async def kept_since(unit: Unit, part: Part) -> int:
    """From when on rows of a part are there, epoch milliseconds; 0 if none was taken."""
    checkpoint = (await unit.ledger.checkpoints()).get(part)
    return checkpoint.until if checkpoint else 0


async def rows_of(unit: Unit, since: int, until: int, endpoint: str = "", *, by_hour: bool) -> Rows:
    """The rows of a period, each minute told once: by minutes where they are kept; whole hours by hours if `by_hour`.

    Times are epoch milliseconds. Raises InvalidParameter for a period, or parts of hours, of which nothing is kept.
    """
    minutes_since, hours_since = await kept_since(unit, Part.MINUTES), await kept_since(unit, Part.HOURS)
    if since < hours_since:
        raise InvalidParameter(f"The ledger is kept from {told(hours_since)} on: --from must not be before that.")
    newest = await unit.ledger.last_hour() if by_hour else None
    summed_to = newest.key.hour + HOUR_MS if newest else minutes_since
    first, last = hour_of(since + HOUR_MS - 1), min(hour_of(until), max(summed_to, minutes_since))
    hours: Rows = ()
    spans = [(since, until)]
    if first < last:
        hours = await unit.ledger.hours_between(first, last, endpoint)
        spans = [(since, first), (last, until)]
    spans = [(begin, end) for begin, end in spans if begin < end]
    if any(begin < minutes_since for begin, _ in spans):
        raise InvalidParameter(
            f"Minutes are kept from {told(minutes_since)} on, before that only hours: --from and --to must be full "
            "hours."
        )
    minutes = [row for begin, end in spans for row in await unit.ledger.between(begin, end, endpoint)]
    return [*hours, *minutes]
