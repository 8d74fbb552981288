"""Which versions a search asks for: `name = 'catalog.schema.model' and run_id = '...'`."""

import re
from dataclasses import dataclass

from penstock.domain.errors import InvalidParameter
from penstock.domain.names import ModelName

FILTER_LIMIT = 4096
_CLAUSE = re.compile(r"""\s*[`"]?(?P<key>\w+)[`"]?\s*=\s*(?P<quote>['"])(?P<value>[^'"]*)(?P=quote)\s*""")
_AND = re.compile(r"and\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class VersionFilter:
    """Which versions: those of `model` (full name, folded) and `run_id`; None does not restrict."""

    model: str | None = None
    run_id: str | None = None


def parse(text: str) -> VersionFilter:
    """From a search's `filter`; an empty one is all versions.

    Raises InvalidParameter unless it is `name = '...'`, `run_id = '...'` or both joined by `and`.
    """
    wanted: dict[str, str] = {}
    rest = text.strip()[: FILTER_LIMIT + 1]
    while rest:
        clause = _CLAUSE.match(rest)
        if clause is None or clause["key"] not in {"name", "run_id"} or clause["key"] in wanted:
            raise _wrong(text)
        wanted[clause["key"]] = clause["value"]
        rest = rest[clause.end() :]
        if rest:
            joined = _AND.match(rest)
            rest = rest[joined.end() :] if joined else rest
            if joined is None or not rest.strip():
                raise _wrong(text)
    name = wanted.get("name")
    return VersionFilter(
        str(ModelName.parse(name, "name in filter")) if name is not None else None, wanted.get("run_id")
    )


def _wrong(text: str) -> InvalidParameter:
    return InvalidParameter(
        f"filter must be name = 'catalog.schema.model', run_id = '...' or both joined by 'and', but is {text[:200]!r}."
    )
