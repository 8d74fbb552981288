"""Use cases of the marketplace: what hubs offer, and how it would do on this machine."""

import asyncio
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.control.offers import Forecast, Offers
from penstock.domain.checkpoint_files import wanted
from penstock.domain.errors import DoesNotExist, InvalidParameter, PenstockError, PermissionDenied
from penstock.domain.market import Listing, Query, check_query, matches
from penstock.domain.mlmodel import FOLDER, mlmodel
from penstock.domain.model import ModelFacts, Task
from penstock.ports.hub import HubFile, Snapshot
from penstock.ports.market import Market
from penstock.ports.model_reader import ModelReader

_READ = frozenset({"config.json", "tokenizer_config.json", "chat_template.jinja", "chat_template.json", "README.md"})
"""Small files that tell what a model is."""
_MOST_READ = 4 << 20
_NO_TENSORS = b"\x02\x00\x00\x00\x00\x00\x00\x00{}"
"""A safetensors file of nothing, in the place of the weights that are not brought to look at a model."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was found; `problems` are of hubs that did not answer."""

    listings: Sequence[Listing]
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class Page:
    """One model. `access` says what is to be done before its files are given out, empty if nothing is.

    `files` are those that an installation brings, and `card` is the repository's own text. `problem` says why it cannot
    be served here; `forecast` is None where that is not known.
    """

    listing: Listing
    commit: str
    files: Sequence[HubFile]
    card: str
    access: str
    facts: ModelFacts | None
    forecast: Forecast | None
    problem: str

    @property
    def size(self) -> int:
        """Bytes that an installation brings."""
        return sum(file.size for file in self.files)


class Marketplace:
    """Search, and pages of models. `markets` makes the hubs, by address, when the first is asked."""

    def __init__(self, markets: Callable[[], Mapping[str, Market]], reader: ModelReader, offers: Offers) -> None:
        self._markets = markets
        self._reader = reader
        self._offers = offers

    async def search(self, query: Query) -> Found:
        """What the hubs offer, the most downloaded first; raises InvalidParameter, DoesNotExist for an unknown hub."""
        check_query(query)
        markets = await self.markets()
        asked = [self._of(markets, query.source)] if query.source else list(markets.values())
        answers = await asyncio.gather(*(_asked(market, query) for market in asked))
        found = [one for listings, _ in answers for one in listings if matches(one, query)]
        found.sort(key=lambda one: -one.downloads)
        return Found(found[: query.limit], [problem for _, problem in answers if problem])

    async def page(self, repository: str, revision: str, source: str, task: Task | None) -> Page:
        """One model, as it would do here; raises what `penstock.ports.hub` says."""
        market = await self.market(source)
        listing, snapshot = await asyncio.to_thread(market.describe, repository, revision)
        try:
            files, problem = chosen(snapshot), ""
        except InvalidParameter as error:
            files, problem = [], error.message
        try:
            await asyncio.to_thread(market.check_access, snapshot)
            access = ""
        except PermissionDenied as error:
            access = error.message
        if access or problem:
            return Page(listing, snapshot.commit, files, "", access, None, None, problem)
        card, facts = await self._look(market, snapshot, files, listing, task or task_of(listing))
        forecast = await self._offers.forecast(facts) if facts.shape is not None else None
        problem = facts.problem or (_refusal(forecast.refusal) if forecast is not None else "")
        return Page(listing, snapshot.commit, files, card, access, facts, forecast, problem)

    async def market(self, source: str) -> Market:
        """The hub at that address, the first one if it is empty; raises DoesNotExist."""
        return self._of(await self.markets(), source)

    async def markets(self) -> Mapping[str, Market]:
        """All hubs, by address."""
        return await asyncio.to_thread(self._markets)

    def _of(self, markets: Mapping[str, Market], source: str) -> Market:
        if source and source.rstrip("/") not in markets:
            raise DoesNotExist(f"There is no hub '{source[:200]}' here; there are: {', '.join(markets)}.")
        return markets[source.rstrip("/")] if source else next(iter(markets.values()))

    async def _look(
        self, market: Market, snapshot: Snapshot, files: Sequence[HubFile], listing: Listing, task: Task
    ) -> tuple[str, ModelFacts]:
        """The card and the facts, from small files alone."""
        with tempfile.TemporaryDirectory(prefix="penstock-market-") as folder:
            root = Path(folder)
            await asyncio.to_thread(_bring, market, snapshot, files, root, mlmodel(task, listing.repository, "", ""))
            facts = await self._reader.read(root)
            card = root / FOLDER / "README.md"
            text = await asyncio.to_thread(card.read_text, errors="replace") if card.exists() else ""
        weights = sum(file.size for file in files if file.path.endswith(".safetensors"))
        return text, replace(facts, parameters=listing.parameters or weights // 2, weight_bytes=weights)


def chosen(snapshot: Snapshot) -> list[HubFile]:
    """The files that make a model; raises InvalidParameter if they do not."""
    files = {file.path: file for file in snapshot.files}
    return [files[path] for path in wanted(files, snapshot.repository)]


def task_of(listing: Listing) -> Task:
    """The task that a hub's own word for it comes to."""
    return Task.EMBEDDINGS if listing.pipeline in {"feature-extraction", "sentence-similarity"} else Task.CHAT


def _refusal(why: str) -> str:
    return f"It cannot be served here: {why}." if why else ""


async def _asked(market: Market, query: Query) -> tuple[Sequence[Listing], str]:
    try:
        return await asyncio.to_thread(market.search, query), ""
    except PenstockError as error:
        return (), error.message


def _bring(
    market: Market, snapshot: Snapshot, files: Sequence[HubFile], root: Path, document: Mapping[str, object]
) -> None:
    """A folder that looks like the version, without its weights. JSON is YAML."""
    (root / FOLDER).mkdir()
    (root / "MLmodel").write_text(json.dumps(document))
    (root / FOLDER / "model.safetensors").write_bytes(_NO_TENSORS)
    for file in files:
        if file.path in _READ and file.size <= _MOST_READ:
            market.fetch(snapshot, file, root / FOLDER / file.path, lambda _count: None)
        elif file.path == "tokenizer.json":
            (root / FOLDER / file.path).touch()
