"""`penstock ledger verify`."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from penstock.adapters.store.reader import ReadUnit
from penstock.cli.ledger_source import Job
from penstock.control.ledger_audit import verify
from penstock.domain.errors import InvalidParameter
from penstock.domain.ledger_checkpoint import Part
from penstock.domain.ledger_moment import told

MOST_TOLD = 100
MOST_DIGITS = 19


def job(head: str) -> Job:
    """The check; 1 if it finds anything."""

    async def run(unit: ReadUnit) -> int:
        noted = _head(head)
        damage = [f"the database's file: {sentence}" for sentence in await unit.damage()]
        columns = ("checking the ledger", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=None)
            verdict = await verify(unit, noted, lambda done, total: progress.update(task, completed=done, total=total))
        faults = len(damage) + verdict.faults
        for finding in [*damage, *verdict.findings][:MOST_TOLD]:
            print(finding)
        if faults > MOST_TOLD:
            print(f"... and {faults - MOST_TOLD} more")
        for part, checkpoint in verdict.checkpoints.items():
            print(f"{part} from before {told(checkpoint.until)} were taken by retention ({told(checkpoint.made_at)}).")
        if Part.REQUESTS in verdict.checkpoints:
            since = told(verdict.checkpoints[Part.REQUESTS].until)
            print(f"Sums of requests are proven from {since} on; those before are as they were chained.")
        number, digest = verdict.head
        pending = f"; {verdict.pending} requests are in minutes that are not closed yet" if verdict.pending else ""
        print(
            f"{verdict.minutes} minutes, {verdict.hours} hours, {verdict.requests} requests checked{pending}. "
            f"{faults or 'No'} faults.\nhead {number}:{digest}"
        )
        return 1 if faults else 0

    return run


def _head(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    number, _, digest = text.partition(":")
    if not (number.isascii() and number.isdecimal() and len(number) < MOST_DIGITS and digest):
        raise InvalidParameter(f"head must be NUMBER:HASH as `penstock ledger verify` prints it, but is '{text}'.")
    return int(number), digest
