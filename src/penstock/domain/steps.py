"""What to do next with one replica: what is seen of it in, one action and a sentence out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.domain.replica import Replica, ReplicaState


@dataclass(frozen=True, slots=True)
class Limits:
    """Times, in seconds: for a deployment, for an idle replica before it is stopped, of silence before it is ended.

    Ended replicas are remembered for `history_s`.
    """

    deploy_timeout_s: float = 1800.0
    scale_to_zero_idle_s: float = 1800.0
    silence_s: float = 60.0
    history_s: float = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Measuring:
    """How the measurement of a replica's version goes: `progress` is 0 to 1; `failure` says why it ended without."""

    progress: float
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Adapted:
    """The LoRA adapters of an engine: those `loaded`, by name. The ranks of all together are `room` at most.

    Those `busy` are being loaded or dropped, and those `refused` never can be, for the reason.
    """

    room: int = 0
    loaded: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """A replica as stored, and what is observed of it.

    `exit` is its process's exit status, None while it runs, and -1 if it should have a process and has none; a negative
    status is a signal's number. `last_words` is the last line of its log. `silent_s` tells since when it did not answer
    its health check. `built`: what it runs is prepared in the cache already.
    """

    replica: Replica
    exit: int | None = None
    last_words: str = ""
    healthy: bool = False
    silent_s: float = 0.0
    measuring: Measuring | None = None
    built: bool = False
    adapted: Adapted = Adapted()

    @property
    def place(self) -> tuple[str, str]:
        """What it runs, and on which device."""
        return self.replica.spec, self.replica.device

    @property
    def name(self) -> str:
        """How a sentence calls it."""
        return f"replica {self.replica.id[:8]} of {self.replica.entity_name}/{self.replica.entity_version}"


@dataclass(frozen=True, slots=True)
class Build:
    """Start the process that prepares the version."""

    replica: Replica


@dataclass(frozen=True, slots=True)
class Serve:
    """Start the engine, with room for adapters whose ranks together are `room`."""

    replica: Replica
    room: int = 0


@dataclass(frozen=True, slots=True)
class Measure:
    """Measure the version with this replica. Safe to repeat."""

    replica: Replica


@dataclass(frozen=True, slots=True)
class Move:
    """Record that the replica is now in that state, for that reason."""

    replica: Replica
    state: ReplicaState
    message: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Let it finish what it does and end. Safe to repeat."""

    replica: Replica
    message: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End what may be left of it at once and record that it failed. `fatal`: trying again would end the same way."""

    replica: Replica
    message: str
    fatal: bool = False


Action = Build | Serve | Measure | Move | Drain | Kill


@dataclass(frozen=True, slots=True)
class Step:
    """What to do with a replica."""

    seen: Seen
    action: Action | None = None
    sentence: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """What the replica runs, and on which device."""
        return self.seen.place

    @property
    def ready(self) -> bool:
        """Whether it serves and nothing is amiss."""
        return self.seen.replica.state is ReplicaState.READY and self.action is None

    @property
    def stays(self) -> bool:
        """Whether it is meant to serve, now or soon."""
        return self.seen.replica.state is not ReplicaState.DRAINING and not isinstance(self.action, Kill | Drain)


def step(seen: Seen, now_ms: int, limits: Limits, *, measure: bool, room: int = 0) -> Step:
    """The next thing to do with a replica that is wanted, or drains; `measure`: its version's profile is missing.

    An engine is started with `room` for adapters.
    """
    state = seen.replica.state
    if state is ReplicaState.DRAINING:
        return _draining(seen)
    if state is ReplicaState.REQUESTED and not seen.built:
        return Step(seen, Build(seen.replica), f"{seen.name}: build started")
    if state is ReplicaState.REQUESTED or (state is ReplicaState.BUILDING and seen.exit == 0):
        return Step(seen, Serve(seen.replica, room), f"{seen.name}: engine started")
    if seen.exit is not None:
        return _ended(seen)
    return _ready(seen, limits) if state is ReplicaState.READY else _starting(seen, now_ms, limits, measure=measure)


def _draining(seen: Seen) -> Step:
    if seen.exit is None:
        return Step(seen, Drain(seen.replica, seen.replica.message))
    return Step(seen, Move(seen.replica, ReplicaState.STOPPED, seen.replica.message), f"{seen.name} stopped")


def _ready(seen: Seen, limits: Limits) -> Step:
    if seen.silent_s > limits.silence_s:
        return _kill(seen, f"the engine did not answer its health check for {seen.silent_s:.0f} s")
    return Step(seen)


def _starting(seen: Seen, now_ms: int, limits: Limits, *, measure: bool) -> Step:
    state = seen.replica.state
    if now_ms - seen.replica.created_at > limits.deploy_timeout_s * 1000:
        return _kill(seen, f"it was not ready within {limits.deploy_timeout_s:.0f} s ({state.value})")
    if state is ReplicaState.MEASURING:
        return _measuring(seen, measure=measure)
    if state is not ReplicaState.LOADING or not seen.healthy:
        return Step(seen)
    if measure:
        return Step(seen, Measure(seen.replica), f"{seen.name} loaded; its throughput is measured next")
    return Step(seen, Move(seen.replica, ReplicaState.READY, ""), f"{seen.name} is ready")


def _measuring(seen: Seen, *, measure: bool) -> Step:
    if not measure:
        return Step(seen, Move(seen.replica, ReplicaState.READY, ""), f"{seen.name} is ready")
    if seen.measuring is None:
        return Step(seen, Measure(seen.replica))
    if seen.measuring.failure:
        return _kill(seen, f"its throughput could not be measured: {seen.measuring.failure}")
    message = f"measuring throughput: {seen.measuring.progress * 100:.0f} %"
    if message == seen.replica.message:
        return Step(seen)
    return Step(seen, Move(seen.replica, ReplicaState.MEASURING, message))


def _ended(seen: Seen) -> Step:
    """Its process ended by itself. A build that exits with a status says why, and would say it again."""
    status = seen.exit or 0
    how = f"was ended by signal {-status}" if status < -1 else "vanished" if status < 0 else f"exited with {status}"
    what = "build" if seen.replica.state is ReplicaState.BUILDING else "engine"
    if what == "build" and status > 0:
        return _kill(seen, seen.last_words or f"the build {how}", fatal=True)
    return _kill(seen, f"the {what} {how}" + (f": {seen.last_words}" if seen.last_words else ""))


def _kill(seen: Seen, message: str, *, fatal: bool = False) -> Step:
    return Step(seen, Kill(seen.replica, message, fatal), f"{seen.name} failed: {message}")
