"""Where another replica could run, and where one is wanted beyond the minimums: between autoscaler and reconciler.

In memory only: after a restart the autoscaler asks again for what demand needs.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from penstock.control.offers import Appraisal
from penstock.domain.endpoint import Endpoint
from penstock.domain.placement import Claim, Device, left, reservations
from penstock.domain.replica import Replica, ReplicaState
from penstock.ports.expansion import Outlook

STARTS = 5
"""The next start of a replica is expected to take as long as the median of so many last ones."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What runs for a served entity: its spec, the memory of a replica, and its measured start-up time in seconds.

    Replicas of it are ready on the devices `running`, whoever they run for. It runs on those of the kind `device`, if
    that is not empty.
    """

    spec: str
    memory: int
    startup_s: float
    running: frozenset[str] = frozenset()
    device: str = ""


def kinds(endpoint: Endpoint, appraisals: Mapping[str, Appraisal], replicas: Sequence[Replica]) -> dict[str, Kind]:
    """By name what the active configuration serves, as far as it was measured; `replicas` are those of its specs."""
    found: dict[str, Kind] = {}
    for one in endpoint.active.entities if endpoint.active else ():
        appraisal = appraisals.get(one.spec)
        if appraisal is not None and appraisal.profile is not None:
            ready = [replica for replica in replicas if replica.state is ReplicaState.READY]
            running = frozenset(replica.device for replica in ready if replica.spec == one.spec)
            offer = appraisal.offer
            found[one.name] = Kind(one.spec, offer.memory, appraisal.profile.startup_s, running, offer.kind)
    return found


class Expanding:
    """See `penstock.ports.expansion.Expansion`. The reconciler tells it what is held, and asks what is wanted."""

    def __init__(self, hint: Callable[[str], None]) -> None:
        """`hint` is called with the id of an endpoint of which something else is wanted."""
        self._devices: Sequence[Device] = ()
        self._claims: dict[str, tuple[Claim, ...]] = {}
        self._kinds: dict[str, Mapping[str, Kind]] = {}
        self._wanted: dict[tuple[str, str], frozenset[str]] = {}
        self._took: dict[str, deque[float]] = {}
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

    def serves(self, endpoint_id: str, found: Mapping[str, Kind]) -> None:
        """By name, the served entities of which another replica may be asked for."""
        self._kinds[endpoint_id] = found
        for key in [key for key in self._wanted if key[0] == endpoint_id and key[1] not in found]:
            del self._wanted[key]

    def forget(self, endpoint_id: str) -> None:
        """The endpoint is gone."""
        self.serves(endpoint_id, {})
        del self._kinds[endpoint_id]
        self._claims.pop(endpoint_id, None)
        self._free = None
        known = {kind.spec for found in self._kinds.values() for kind in found.values()}
        self._took = {spec: took for spec, took in self._took.items() if spec in known}

    def further(self, endpoint_id: str) -> dict[str, frozenset[str]]:
        """Devices, by spec, on which a replica of the endpoint's is wanted beyond what its minimum takes."""
        found: dict[str, frozenset[str]] = {}
        for name, kind in self._kinds.get(endpoint_id, {}).items():
            found[kind.spec] = found.get(kind.spec, frozenset()) | self._wanted.get((endpoint_id, name), frozenset())
        return found

    def start_s(self, spec: str, measured_s: float) -> float:
        """How long a start takes, as the last ones did; before the first of them as `measured_s`, by the profile."""
        took = self._took.get(spec)
        return median(took) if took else measured_s

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
        alike = {one.name for one in self._devices if kind.device in ("", one.kind)}
        room = {name for name, (_, memory) in free.items() if memory >= kind.memory or name in runs}
        enough = {name: free[name][0] for name in free if name in room & alike}
        devices = {name: share for name, share in enough.items() if name not in there}
        return Outlook(self.start_s(kind.spec, kind.startup_s), devices, kind.running.intersection(devices))

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

    def came(self, endpoint_id: str, entity: str, took_s: float) -> None:
        """See `penstock.ports.expansion.Expansion`."""
        kind = self._kinds.get(endpoint_id, {}).get(entity)
        if kind is not None:
            self._took.setdefault(kind.spec, deque(maxlen=STARTS)).append(took_s)
