"""The marketplace: models that hubs offer, and their installation into a catalog and schema."""

from dataclasses import dataclass
from enum import StrEnum

from penstock.domain.errors import InvalidParameter
from penstock.domain.model import Task
from penstock.domain.names import ModelName

MOST_RESULTS = 100


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: words of a name, family, task, licence, and parameters between `least` and `most` (0: any).

    `source` is the address of one hub, empty for all of them.
    """

    text: str = ""
    family: str = ""
    task: Task | None = None
    licence: str = ""
    least: int = 0
    most: int = 0
    source: str = ""
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository as a hub tells of it. `parameters` 0 and empty texts: it does not say. `changed_at` is a date."""

    source: str
    repository: str
    family: str = ""
    pipeline: str = ""
    licence: str = ""
    parameters: int = 0
    downloads: int = 0
    gated: bool = False
    changed_at: str = ""


class InstallState(StrEnum):
    """How an installation stands. Only one that was cancelled or failed is resumed."""

    RUNNING = "RUNNING"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    DONE = "DONE"


@dataclass(frozen=True, slots=True)
class Install:
    """One installation. `size` and `came` are bytes, `size` 0 until it is known; `file` is the one that comes now.

    `version` is what it became when it is DONE, and `message` says why it failed. Times are epoch milliseconds.
    """

    id: str
    source: str
    repository: str
    revision: str
    model: str
    task: Task
    owner: str
    created_at: int
    changed_at: int
    state: InstallState = InstallState.RUNNING
    size: int = 0
    came: int = 0
    file: str = ""
    version: int = 0
    message: str = ""

    @property
    def name(self) -> ModelName:
        """Where it goes."""
        return ModelName.parse(self.model)


def matches(listing: Listing, query: Query) -> bool:
    """Whether it is looked for: a mirror may pass over what it was asked."""
    if query.family and listing.family and query.family.lower() != listing.family.lower():
        return False
    if query.licence and listing.licence and query.licence.lower() != listing.licence.lower():
        return False
    known = listing.parameters > 0
    return not (known and (listing.parameters < query.least or 0 < query.most < listing.parameters))


def check_query(query: Query) -> Query:
    """Returns it, or raises InvalidParameter naming the field and the rule."""
    if not 1 <= query.limit <= MOST_RESULTS:
        raise InvalidParameter(f"limit must be 1 to {MOST_RESULTS}, but is {query.limit}.")
    if query.least < 0 or query.most < 0 or 0 < query.most < query.least:
        raise InvalidParameter(
            f"min_parameters ({query.least}) must be 0 or more, and not more than max_parameters ({query.most})."
        )
    return query
