"""A served entity: one model version with its band of tokens per second, inside an endpoint's configuration."""

import re
from dataclasses import dataclass

from penstock.domain.errors import InvalidParameter
from penstock.domain.model import Precision
from penstock.domain.sizing import Sizing

NAME_LIMIT = 63
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class ServedEntity:
    """One served entity as asked for; throughputs are tokens per second, as sent.

    `entity_name` is a three-level name, `entity_version` a decimal string. Where `sizing` counts chunks, throughputs
    are what they were worth when they were asked for; `band` is what they are worth now. Without
    `burst_scaling_enabled` the platform's default holds, which is true. `workload_size` is the name of its size, if it
    was said by one. Where the `precision` is what its engine runs in anyway, `precision_is_usual`.
    A LoRA adapter has the model and version of its `base`.
    """

    name: str
    entity_name: str
    entity_version: str
    min_provisioned_throughput: int
    max_provisioned_throughput: int
    scale_to_zero_enabled: bool | None = None
    environment_vars: tuple[tuple[str, str], ...] = ()
    precision: Precision | None = None
    precision_is_usual: bool = False
    sizing: Sizing | None = None
    burst_scaling_enabled: bool | None = None
    workload_size: str | None = None
    base: tuple[str, str] | None = None

    def band(self, chunk: int) -> tuple[int, int]:
        """The least and the most tokens per second, where a chunk is `chunk` of them."""
        if self.sizing is not None and self.sizing.in_chunks:
            return self.sizing.band(chunk)
        return self.min_provisioned_throughput, self.max_provisioned_throughput

    @property
    def bursts(self) -> bool:
        """Whether it may run ahead of its rate as others do; the platform's default."""
        return self.burst_scaling_enabled is not False

    @property
    def scales_to_zero(self) -> bool:
        """Whether no replica need stand by when nothing is asked."""
        return self.min_provisioned_throughput == 0

    @property
    def runs(self) -> tuple[str, str]:
        """Model and version that a replica loads for it."""
        return self.base or (self.entity_name, self.entity_version)

    @property
    def adapter(self) -> str:
        """What a replica calls its adapter, empty if it is none."""
        return f"{self.entity_name}/{self.entity_version}" if self.base else ""

    @property
    def spec(self) -> str:
        """What makes two served entities runnable by the same replica: equal specs, equal processes.

        Who asks for the usual precision by its name asks for the same as who asks for none.
        """
        return spec_of(*self.runs, None if self.precision_is_usual else self.precision, self.environment_vars)


def spec_of(
    name: str, version: str, precision: Precision | None = None, environment: tuple[tuple[str, str], ...] = ()
) -> str:
    """The spec of a version; without a precision, in the usual one."""
    return f"{name}/{version}/{precision.value if precision else 'default'}/{environment}"


def default_name(entity_name: str, entity_version: str) -> str:
    """`<last segment>-<version>`, as the platform names a served entity that was given no name."""
    return _FORBIDDEN.sub("-", f"{entity_name.rsplit('.', 1)[-1]}-{entity_version}")[-NAME_LIMIT:]


def check_name(value: str, field: str) -> str:
    """Returns the name: 1 to 63 of letters, digits, - and _; raises InvalidParameter naming `field` otherwise."""
    if not 1 <= len(value) <= NAME_LIMIT or not _NAME.fullmatch(value):
        raise InvalidParameter(
            f"{field} must be 1 to {NAME_LIMIT} characters of letters, digits, '-' and '_', but is '{value[:80]}'."
        )
    return value


def check_band(minimum: int, maximum: int, name: str) -> None:
    """Raises InvalidParameter unless 0 <= minimum <= maximum and maximum > 0; both in tokens per second."""
    if minimum < 0:
        raise InvalidParameter(f"min_provisioned_throughput of '{name}' must be 0 or more, but is {minimum}.")
    if maximum <= 0:
        raise InvalidParameter(f"max_provisioned_throughput of '{name}' must be more than 0, but is {maximum}.")
    if minimum > maximum:
        raise InvalidParameter(
            f"min_provisioned_throughput ({minimum}) of '{name}' must not be more than its "
            f"max_provisioned_throughput ({maximum})."
        )
