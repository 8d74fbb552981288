"""Where another replica could run, and where one is wanted beyond the minimums: between autoscaler and reconciler.

In memory only: after a restart the autoscaler asks again for what demand needs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from penstock.domain.placement import Claim, Device, left, reservations
from penstock.ports.expansion import Outlook


@dataclass(frozen=True, slots=True)
class Kind:
    """What runs for a served entity: its spec, the memory of a replica, and its measured start-up time in seconds."""

    spec: str
    memory: int
    startup_s: float


class Expanding:
    """See `penstock.ports.expansion.Expansion`. The reconciler tells it what is held, and asks what is wanted."""

    def __init__(self, hint: Callable[[str], None]) -> None:
        """`hint` is called with the id of an endpoint of which something else is wanted."""
        self._devices: Sequence[Device] = ()
        self._claims: dict[str, tuple[Claim, ...]] = {}
        self._kinds: dict[str, Mapping[str, Kind]] = {}
        self._wanted: dict[tuple[str, str], frozenset[str]] = {}
        self._hint = hint
        # Every entity is asked about in every round: what all hold is added up once for each change.
        self._free: dict[str, tuple[float, int]] | None = None
        self._runs: dict[str, set[str]] = {}

    # ---- what the reconciler tells and asks

    def held(self, endpoint_id: str, claims: tuple[Claim, ...], devices: Sequence[Device]) -> None:
        """The endpoint holds this from now on; `devices` are all that there are."""
        if claims != self._claims.get(endpoint_id) or devices != self._devices:
            self._claims[endpoint_id] = claims
            self._devices = devices
            self._free = None

    def serves(self, endpoint_id: str, kinds: Mapping[str, Kind]) -> None:
        """By name, the served entities of which another replica may be asked for."""
        self._kinds[endpoint_id] = kinds
        for key in [key for key in self._wanted if key[0] == endpoint_id and key[1] not in kinds]:
            del self._wanted[key]

    def forget(self, endpoint_id: str) -> None:
        """The endpoint is gone."""
        self.serves(endpoint_id, {})
        del self._kinds[endpoint_id]
        self._claims.pop(endpoint_id, None)
        self._free = None

    def further(self, endpoint_id: str) -> dict[str, frozenset[str]]:
        """Devices, by spec, on which a replica of the endpoint's is wanted beyond what its minimum takes."""
        found: dict[str, frozenset[str]] = {}
        for name, kind in self._kinds.get(endpoint_id, {}).items():
            found[kind.spec] = found.get(kind.spec, frozenset()) | self._wanted.get((endpoint_id, name), frozenset())
        return found

    # ---- what the autoscaler asks and tells

    def outlook(self, endpoint_id: str, entity: str) -> Outlook | None:
        """See `penstock.ports.expansion.Expansion`."""
        kind = self._kinds.get(endpoint_id, {}).get(entity)
        if kind is None:
            return None
        free = self._free if self._free is not None else self._add_up()
        there = {one.device for one in self._claims.get(endpoint_id, ()) if one.spec == kind.spec}
        # Where others run the same, another replica is not needed.
        runs = self._runs.get(kind.spec, set())
        enough = {name: share for name, (share, memory) in free.items() if memory >= kind.memory or name in runs}
        return Outlook(kind.startup_s, {name: share for name, share in enough.items() if name not in there})

    def _add_up(self) -> dict[str, tuple[float, int]]:
        """The share and the memory that are left of each device."""
        held = [one for claims in self._claims.values() for one in reservations("", claims)]
        self._runs = {}
        for one in held:
            if one.memory:
                self._runs.setdefault(one.spec, set()).add(one.device)
        self._free = {device.name: left(device, held) for device in self._devices}
        return self._free

    def want(self, endpoint_id: str, entity: str, devices: Iterable[str]) -> None:
        """See `penstock.ports.expansion.Expansion`."""
        key, wanted = (endpoint_id, entity), frozenset(devices)
        if entity in self._kinds.get(endpoint_id, {}) and wanted != self._wanted.get(key, frozenset()):
            self._wanted[key] = wanted
            self._hint(endpoint_id)
