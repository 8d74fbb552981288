"""What is observed of replicas: exits, health, silence, the last words of a log. Changes nothing."""

import hashlib
import re
from pathlib import Path

from penstock.control.profiler import Loaded, Profiler
from penstock.domain.replica import Replica, ReplicaState
from penstock.domain.steps import Seen
from penstock.ports.clock import Clock
from penstock.ports.cluster import Cluster, Process
from penstock.ports.engine import EngineClient

HEALTH_EVERY_S = 5.0
"""How often a replica that serves is asked for its health; those that start are asked each time."""
ASK_AGAIN_S = 1.0
"""When one that serves and did not answer is asked again, however many look at it."""
_LAST_WORDS = 8192
_MESSAGE_LIMIT = 1000
_LOG_PREFIX = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [A-Z]+ ")
_SERVES = frozenset({ReplicaState.LOADING, ReplicaState.MEASURING, ReplicaState.READY})


def process_of(replica: Replica) -> Process:
    """The process of a replica that has one."""
    return Process(replica.pid, replica.pid_started)


def loaded(replica: Replica, startup_s: float) -> Loaded:
    """The engine of a replica that has loaded, to be measured."""
    return Loaded(replica.id, replica.address, process_of(replica), replica.device, startup_s)


def log_folder(logs: Path, spec: str) -> Path:
    """Where builds and engines of a spec log, whoever wants them."""
    return logs / hashlib.sha256(spec.encode()).hexdigest()[:16]


def build_log(logs: Path, spec: str) -> Path:
    """Where builds of a spec log."""
    return log_folder(logs, spec) / "build.log"


def server_log(logs: Path, spec: str, device: str = "") -> Path:
    """Where the engine of a spec logs on a device: each has a file of its own."""
    return log_folder(logs, spec) / (f"server-{device}.log" if device else "server.log")


class Watch:
    """Observes replicas, and remembers when each was heard of last."""

    def __init__(self, cluster: Cluster, client: EngineClient, profiler: Profiler, clock: Clock) -> None:
        self._cluster = cluster
        self._client = client
        self._profiler = profiler
        self._clock = clock
        self._heard: dict[str, float] = {}
        self._silent: dict[str, float] = {}
        self._suspects: set[str] = set()

    def suspect(self, replica_id: str) -> None:
        """Look at the replica's health at the next opportunity."""
        self._suspects.add(replica_id)

    def forget(self, replica_id: str) -> None:
        """The replica has ended."""
        self._heard.pop(replica_id, None)
        self._silent.pop(replica_id, None)
        self._suspects.discard(replica_id)

    async def look(self, replica: Replica, log: Path, *, built: bool) -> Seen:
        """How the replica is now; `log` is that of its process."""
        status = await self._exit(replica)
        words = last_words(await self._cluster.tail(log, _LAST_WORDS)) if status not in {None, 0} else ""
        healthy = status is None and replica.state in _SERVES and await self._is_healthy(replica)
        silent_s = self._clock.monotonic() - self._heard.setdefault(replica.id, self._clock.monotonic())
        return Seen(replica, status, words, healthy, silent_s, self._profiler.status(replica.id), built)

    async def _exit(self, replica: Replica) -> int | None:
        if replica.pid:
            return await self._cluster.exit_code(process_of(replica))
        return None if replica.state is ReplicaState.REQUESTED else -1

    async def _is_healthy(self, replica: Replica) -> bool:
        now = self._clock.monotonic()
        heard = self._heard.get(replica.id)
        serves = replica.state is ReplicaState.READY
        if serves and replica.id not in self._suspects and heard is not None and now - heard < HEALTH_EVERY_S:
            return True
        if serves and now - self._silent.get(replica.id, -ASK_AGAIN_S) < ASK_AGAIN_S:
            return False
        if not await self._client.healthy(replica.address):
            self._silent[replica.id] = self._clock.monotonic()
            return False
        self._heard[replica.id] = self._clock.monotonic()
        self._suspects.discard(replica.id)
        return True


def last_words(log: str) -> str:
    """The last line of a log that says something, without its time and level."""
    for line in reversed(log.splitlines()):
        said = _LOG_PREFIX.sub("", line).strip()
        if said:
            return said[:_MESSAGE_LIMIT]
    return ""
