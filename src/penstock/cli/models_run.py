"""What the commands of `penstock models` do."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from penstock.adapters.clock import SystemClock
from penstock.adapters.foundation.catalogue import load_foundation
from penstock.adapters.foundation.shelf import FolderShelf
from penstock.adapters.models.reader import read_facts
from penstock.adapters.store.reader import SqlReader
from penstock.bootstrap.foundation import SHELF
from penstock.cli.ledger_source import wide_console
from penstock.control.pulls import SHORT, Pulls, Watch, moved
from penstock.control.usage_of_models import endpoints_using
from penstock.domain.endpoint import RESERVED_PREFIX
from penstock.domain.errors import Conflict, DoesNotExist, PenstockError
from penstock.domain.foundation import CURRENCY, Foundation, FoundationModel, Lifecycle
from penstock.ports.hub import Hub
from penstock.ports.shelf import Mark
from penstock.settings import load

INTERRUPTED = 130
WIDE = 150
"""Columns in which a row has room for a model's name beside its endpoint's."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the commands work with."""

    foundation: Foundation
    shelf: FolderShelf
    pulls: Pulls
    database_url: str


def run(data_dir: Path | None, config: Path | None, command: Callable[[Desk], int], database: str | None = None) -> int:
    """Runs a command and returns its exit status: 1 if it could not be done, 130 if it was interrupted."""
    given = {"data_dir": data_dir, "database": database}
    try:
        settings = load({key: value for key, value in given.items() if value is not None}, os.environ, config)
        foundation, shelf = load_foundation(), FolderShelf(settings.data_dir.absolute() / SHELF)
        pulls = Pulls(foundation, shelf, _hub, SystemClock())
        return command(Desk(foundation, shelf, pulls, settings.database_url))
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. What has come is kept: the same command goes on from there.", file=sys.stderr)
        return INTERRUPTED


def _hub() -> Hub:
    # Imported when something is asked of it: it takes a second.
    from penstock.adapters.hub.huggingface import HuggingFaceHub

    return HuggingFaceHub()


def show_all(desk: Desk, *, here: bool) -> int:
    """Prints the catalogue."""
    marks = desk.shelf.marks()
    console, table = wide_console(), Table()
    names = ("name", "endpoint") if console.width >= WIDE else ("name, endpoint",)
    for title in names:
        table.add_column(title, no_wrap=True)
    for title in ("task", "context", "licence", "state"):
        right = title == "context"
        table.add_column(title, justify="right" if right else "left", no_wrap=right or title == "task")
    for one in sorted(desk.foundation.models, key=lambda one: _order(one, marks.get(one.name))):
        mark = marks.get(one.name)
        if mark is not None or not here:
            named = (one.name, one.endpoint if one.served else "")
            task = one.task.value.rpartition("/")[2]
            cells = named if len(names) > 1 else ("\n".join(filter(None, named)),)
            table.add_row(*cells, task, f"{one.context:,}", one.licence, _state(one, mark))
    console.print(table)
    return 0


def _order(model: FoundationModel, mark: Mark | None) -> tuple[bool, bool, bool]:
    """First what is here, then what may come, last what was retired; otherwise as in the catalogue."""
    return mark is None, model.lifecycle is Lifecycle.RETIRED, model.base


def show_one(desk: Desk, name: str) -> int:
    """Prints what the catalogue says of a model."""
    model = desk.foundation.of(name)
    table = Table(show_header=False, box=None)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for what, said in _card(model, desk.shelf.marks().get(model.name), desk.foundation.parting(model)):
        if said:
            table.add_row(what, Text(said))
    wide_console().print(table)
    return 0


def _card(model: FoundationModel, mark: Mark | None, parting: str) -> Iterator[tuple[str, str]]:
    """What is told, by what it is called; empty where there is nothing to tell."""
    yield "name", f"{model.display_name}, {model.full_name}"
    yield "state", _state(model, mark)
    yield "", parting
    yield "came from", mark.source if mark is not None else ""
    yield "repository", f"{model.repository} at {model.revision}" + ("; its licence is accepted there" * model.gated)
    yield "licence", f"{model.licence}. {model.notice}".strip()
    yield "model", f"{model.family}, {model.task}, {model.context:,} tokens"
    if model.served:
        yield "endpoint", ", ".join(dict.fromkeys((model.endpoint, *model.other_names)))
        yield "prices", f"{CURRENCY} {model.input_price} and {model.output_price} for a million tokens in and out"
    if model.served and (quota := model.quota) is not None:
        tokens = f"{quota.input_tokens:,} tokens in and {quota.output_tokens:,} out"
        yield "limits", f"{quota.calls:,} calls, {tokens} per minute"
    yield "system prompt", model.system_prompt


def _state(model: FoundationModel, mark: Mark | None) -> str:
    said = "not here"
    if mark is not None:
        said = f"here, {decimal(mark.size)}" + (f", {mark.commit[:SHORT]}" if mark.commit else "")
    if model.lifecycle is not Lifecycle.AVAILABLE:
        said += f"; {model.lifecycle.value}" + (f" {model.ends_on}" if model.ends_on else "")
        said += f", use {model.replacement}" if model.replacement else ""
    if model.base:
        said += "; base"
    return said


def pull_one(desk: Desk, name: str, folder: Path | None, revision: str) -> int:
    """Brings a model, with a bar for the bytes."""
    model, console = desk.foundation.of(name), Console()
    console.print(f"{model.display_name}, licence {model.licence}. {model.notice}".strip(), highlight=False)
    before = desk.shelf.marks().get(model.name)
    with _bar(console) as watch:
        mark = desk.pulls.pull(name, watch, revision=revision, folder=folder)
    problem = _problem(desk, model)
    where = f"endpoint '{model.endpoint}'" if model.served and not problem else f"the model '{model.full_name}'"
    arrived = "was here already" if mark == before else "is here"
    here = (
        f"{model.display_name} {arrived}, {decimal(mark.size)} from {mark.source}. A server that runs has {where} "
        "within seconds, another one when it is started."
    ) + (f" It cannot be served: {problem}" if problem else "")
    told = (moved(before, mark), here, desk.foundation.parting(model))
    for line in filter(None, told):
        console.print(line, highlight=False, soft_wrap=True)
    return 0


def _problem(desk: Desk, model: FoundationModel) -> str:
    """Why what came cannot be served, empty if it can or if the server has it already, which says so itself."""
    arrived = dict(desk.shelf.arrived(model.name))
    return (read_facts(arrived["MLmodel"].parent).problem or "") if "MLmodel" in arrived else ""


@contextmanager
def _bar(console: Console) -> Iterator[Watch]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=None, visible=False)

        def begin(_name: str, size: int) -> None:
            progress.update(bar, total=size, visible=True)

        def came(count: int) -> None:
            progress.update(bar, advance=count)

        def file(path: str) -> None:
            progress.update(bar, description=path)

        yield Watch(begin, came, file)


def remove_one(desk: Desk, name: str) -> int:
    """Takes a model away unless an endpoint that is not the system's serves it."""
    model = desk.foundation.of(name)
    users = asyncio.run(_users(desk.database_url, str(model.full_name)))
    if users:
        raise Conflict(
            f"{model.full_name} is served by endpoint {', '.join(users)}. Update or delete the endpoint first."
        )
    desk.pulls.remove(name)
    Console().print(f"{model.display_name} goes: its files, its endpoint and its versions in {model.full_name.parent}.")
    return 0


async def _users(url: str, model: str) -> list[str]:
    try:
        reader = SqlReader(url)
    except DoesNotExist:
        return []  # no server has been started here yet
    try:
        async with reader.unit() as unit:
            return [one for one in await endpoints_using(unit, model) if not one.startswith(RESERVED_PREFIX)]
    finally:
        await reader.close()
