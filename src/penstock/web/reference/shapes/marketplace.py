"""Answers of the marketplace."""

from msgspec import UNSET

from penstock.web.reference.shapes.shape import Maybe, Shape


class MarketListing(Shape):
    """A model of a hub, as a search finds it; what the hub does not tell is empty or 0."""

    repository: str
    source: str
    family: str
    pipeline: str
    licence: str
    parameters: int
    downloads: int
    gated: bool
    changed_at: str


class MarketListings(Shape):
    """What a search found, and what went wrong with hubs."""

    models: list[MarketListing]
    problems: list[str]


class MarketFile(Shape):
    """A file of a model."""

    path: str
    size: int
    sha256: str


class MarketForecast(Shape):
    """How a model would do here."""

    fits: bool
    memory: int
    device_memory: int
    weight_precision: str
    throughput: float
    throughput_chunk_size: int
    estimated: bool


class MarketPage(MarketListing, kw_only=True):
    """A model of a hub."""

    commit: str
    size: int
    files: list[MarketFile]
    card: str
    access: str
    servable: bool
    problem: str
    context_length: Maybe[int] = UNSET
    architecture: Maybe[str | None] = UNSET
    forecast: Maybe[MarketForecast] = UNSET


class MarketInstall(Shape):
    """An installation."""

    id: str
    repository: str
    source: str
    revision: str
    full_name: str
    task: str
    owner: str
    state: str
    size: int
    downloaded: int
    file: str
    message: str
    created_at: int
    updated_at: int
    version: Maybe[int] = UNSET


class MarketInstalls(Shape):
    """The caller's installations."""

    installs: list[MarketInstall]
