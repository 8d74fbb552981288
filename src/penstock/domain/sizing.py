"""The ways in which a served entity's size is said: tokens per second, units of concurrency, or model units.

Each is a number of chunks in the end: four units of provisioned concurrency are one, and so are 50 model units.
"""

from dataclasses import dataclass

from penstock.domain.errors import InvalidParameter
from penstock.domain.throughput import CONCURRENCY_PER_CHUNK

UNITS_PER_CHUNK = 50
"""Model units that are worth one chunk (`model_unit_chunk_size`)."""
MOST_VALUE = 2**53 - 1
"""Numbers beyond are not whole in clients that read JSON as floating point."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """A size as sent; absent fields are None. Throughputs are tokens per second."""

    min_throughput: int | None = None
    max_throughput: int | None = None
    min_concurrency: int | None = None
    max_concurrency: int | None = None
    model_units: int | None = None

    def band(self, chunk: int) -> tuple[int, int]:
        """The least and the most tokens per second, where a chunk is `chunk` of them."""
        if self.model_units is not None:
            units = self.model_units * chunk // UNITS_PER_CHUNK
            return units, units
        if self.max_concurrency is not None:
            least = (self.min_concurrency or 0) * chunk // CONCURRENCY_PER_CHUNK
            return least, self.max_concurrency * chunk // CONCURRENCY_PER_CHUNK
        return self.min_throughput or 0, self.max_throughput or 0

    @property
    def in_chunks(self) -> bool:
        """Whether it counts chunks, so that its tokens per second follow their size."""
        return self.model_units is not None or self.max_concurrency is not None


WORKLOAD_SIZES = {"Small": (4, 4), "Medium": (8, 16), "Large": (16, 64)}
"""The least and the most units of concurrency that the platform's sizes by name have."""


def of_workload(size: str, *, scale_to_zero: bool, name: str) -> Sizing:
    """A size by name, whose least is 0 where the served entity `name` may scale to zero; raises InvalidParameter."""
    if size not in WORKLOAD_SIZES:
        raise InvalidParameter(
            f"workload_size of '{name}' must be one of {', '.join(WORKLOAD_SIZES)}, but is {size[:80]!r}."
        )
    least, most = WORKLOAD_SIZES[size]
    return Sizing(min_concurrency=0 if scale_to_zero else least, max_concurrency=most)


def check_sizing(sizing: Sizing, name: str) -> Sizing:
    """Returns the size of the served entity `name`, or raises InvalidParameter: one way, whole, in order."""
    for field, value in _fields(sizing).items():
        if value is not None and value > MOST_VALUE:
            raise InvalidParameter(f"{field} of '{name}' must be at most {MOST_VALUE}, but is {value}.")
    given = [field for field, value in _fields(sizing).items() if value is not None]
    ways = {way for way, fields in _WAYS.items() if any(field in given for field in fields)}
    if len(ways) > 1:
        raise InvalidParameter(
            f"'{name}' is sized by {' and '.join(given)}, which say the same in different units: give "
            "min_provisioned_throughput and max_provisioned_throughput, or min_provisioned_concurrency and "
            "max_provisioned_concurrency, or provisioned_model_units."
        )
    if not ways:
        raise InvalidParameter(
            f"min_provisioned_throughput and max_provisioned_throughput of '{name}' must be given: served entities "
            "have both, in tokens per second (or provisioned_model_units, or min_provisioned_concurrency and "
            "max_provisioned_concurrency)."
        )
    missing = [field for field in _WAYS[ways.pop()] if field not in given]
    if missing:
        raise InvalidParameter(f"{' and '.join(missing)} of '{name}' must be given, because {given[0]} is.")
    _check_units(sizing, name)
    return sizing


_WAYS = {
    "throughput": ("min_provisioned_throughput", "max_provisioned_throughput"),
    "concurrency": ("min_provisioned_concurrency", "max_provisioned_concurrency"),
    "units": ("provisioned_model_units",),
}


def _fields(sizing: Sizing) -> dict[str, int | None]:
    return {
        "min_provisioned_throughput": sizing.min_throughput,
        "max_provisioned_throughput": sizing.max_throughput,
        "min_provisioned_concurrency": sizing.min_concurrency,
        "max_provisioned_concurrency": sizing.max_concurrency,
        "provisioned_model_units": sizing.model_units,
    }


def _check_units(sizing: Sizing, name: str) -> None:
    units = sizing.model_units
    if units is not None and (units <= 0 or units % UNITS_PER_CHUNK):
        raise InvalidParameter(
            f"provisioned_model_units of '{name}' must be a multiple of {UNITS_PER_CHUNK}, at least {UNITS_PER_CHUNK}, "
            f"but is {units}."
        )
    low, high = sizing.min_concurrency, sizing.max_concurrency
    if low is None or high is None:
        return
    for field, value, least in (("min", low, 0), ("max", high, CONCURRENCY_PER_CHUNK)):
        if value < least or value % CONCURRENCY_PER_CHUNK:
            raise InvalidParameter(
                f"{field}_provisioned_concurrency of '{name}' must be a multiple of {CONCURRENCY_PER_CHUNK}, at least "
                f"{least}, but is {value}."
            )
    if low > high:
        raise InvalidParameter(
            f"min_provisioned_concurrency ({low}) of '{name}' must not be more than its "
            f"max_provisioned_concurrency ({high})."
        )
