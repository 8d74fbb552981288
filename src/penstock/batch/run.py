"""A batch from its file of rows to its file of answers."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from penstock.adapters.batches.answers import AnswerFile
from penstock.adapters.batches.rows import RowFile
from penstock.batch.progress import Watching, duration
from penstock.batch.server import HttpServer, Offer, chance
from penstock.batch.work import Work
from penstock.domain.batch_estimate import Workload
from penstock.domain.batch_row import Place
from penstock.domain.errors import PenstockError
from penstock.ports.clock import Clock

TRIAL_ROWS = 8
RECALLED_ROWS = 500
ROWS_WITH_ERRORS = 2
SOME_USED, ALL_USED = 0.02, 0.98
"""Of the device, by others: less is nothing, and more leaves nothing."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of the program. `window` rows are on their way at a time."""

    endpoint: str
    rows: Path
    out: Path
    url: str
    token: str
    window: int
    estimate: bool
    retry_errors: bool
    patience_s: float


async def run(wish: Wish, clock: Clock, console: Console) -> int:
    """Runs a batch and returns the exit status: 0 if all is well, 2 if rows have errors. Raises PenstockError."""
    if wish.rows.resolve() == wish.out.resolve():
        raise PenstockError("The file of answers must not be the file of rows.")
    rows = RowFile(wish.rows)
    places = await asyncio.to_thread(rows.look)
    with AnswerFile(wish.out) as answers:
        left = [place for place in places if not _is_done(answers, place, again=wish.retry_errors)]
        if len(left) < len(places):
            console.print(f"{len(places) - len(left)} of {len(places)} rows are done already.")
        async with HttpServer(wish.url, wish.token, wish.endpoint, window=wish.window) as server:
            work = Work(rows, answers, server, clock, chance=chance, patience_s=wish.patience_s)
            for place in _evenly([place for place in places if answers.has(place.number, place.digest)], RECALLED_ROWS):
                work.recall(place)
            offer = await server.offer() if left else Offer()
            if wish.estimate:
                await _estimate(wish, work, left, offer, console)
                return 0
            await _all(wish, work, left, offer, clock=clock, console=console)
        await asyncio.to_thread(answers.order, [place.number for place in places])
        return _summary(answers, places, wish.out, console)


def _is_done(answers: AnswerFile, place: Place, *, again: bool) -> bool:
    return answers.has(place.number, place.digest) and not (again and answers.failed(place.number))


async def _estimate(wish: Wish, work: Work, left: Sequence[Place], offer: Offer, console: Console) -> None:
    """Answers a few rows, spread over the file, and says from them how long all will take."""
    good = [place for place in left if not place.problem]
    # Of all sizes: rows of a file often repeat, and every n-th may be of one size.
    trial = _evenly(sorted(good, key=lambda place: (place.size.characters, place.size.most_out or 0)), TRIAL_ROWS)
    await work.send(trial, wish.window)
    if trial:
        console.print(f"{len(trial)} rows were answered to learn from; their answers are kept.")
    numbers = {place.number for place in trial}
    load = Workload([place.size for place in good if place.number not in numbers])
    tokens_in, tokens_out = load.tokens(work.learned)
    console.print(f"{load.rows} rows are left: about {tokens_in:,.0f} tokens in and {tokens_out:,.0f} out.")
    if offer.terms is None:
        console.print("The server does not say what this model's requests cost, so there is no estimate of the time.")
        return
    device_s = load.device_s(work.learned, offer.terms.cost)
    console.print(f"Device time: {duration(device_s)}.{' The model was not measured yet.' if offer.estimated else ''}")
    alone = load.duration_s(work.learned, offer.terms, wish.window)
    console.print(f"With the device to themselves they take {duration(alone)} ({alone:.1f} s).")
    if offer.used >= ALL_USED:
        console.print("Just now other requests use the whole device: a batch waits until they leave something.")
    elif offer.used >= SOME_USED:
        beside = alone / (1 - offer.used)
        console.print(
            f"Just now other requests use {offer.used:.0%} of the device: if that goes on, the rows take "
            f"{duration(beside)} ({beside:.1f} s)."
        )


async def _all(wish: Wish, work: Work, left: Sequence[Place], offer: Offer, *, clock: Clock, console: Console) -> None:
    watching = Watching(work, Workload([place.size for place in left]), offer.cost, clock)
    showing = asyncio.create_task(watching.show(console))
    try:
        await work.send(left, wish.window)
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing


def _evenly(places: Sequence[Place], most: int) -> list[Place]:
    """At most so many of the rows, spread over all of them."""
    count = min(most, len(places))
    return [places[index * len(places) // count] for index in range(count)]


def _summary(answers: AnswerFile, places: Sequence[Place], out: Path, console: Console) -> int:
    failed = [place for place in places if answers.failed(place.number)]
    console.print(f"{len(places) - len(failed)} rows were answered and {len(failed)} have errors: {out}")
    kinds: dict[str, list[int]] = {}
    for place in failed:
        kinds.setdefault(_reason(answers.read(place.number)), []).append(place.number)
    for reason, numbers in sorted(kinds.items(), key=lambda item: -len(item[1]))[:10]:
        console.print(f"  {len(numbers)} x {reason} (line {numbers[0]}{' and others' if len(numbers) > 1 else ''})")
    return ROWS_WITH_ERRORS if failed else 0


def _reason(answer: dict[str, object]) -> str:
    error, response = answer["error"], answer["response"]
    if isinstance(error, dict):
        return str(error["message"]).partition(": ")[2] or str(error["message"])
    assert isinstance(response, dict)
    body = response["body"]
    message = body.get("message", body) if isinstance(body, dict) else body
    return f"{response['status_code']}: {str(message)[:200]}"
