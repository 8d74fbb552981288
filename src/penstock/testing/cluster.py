"""Processes that only exist in virtual time, and engines that answer from them."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penstock.domain.adapting import stepped_room
from penstock.domain.errors import EngineFailed
from penstock.domain.estimate import Speed
from penstock.domain.model import ModelFacts, Precision, Task
from penstock.domain.placement import Device
from penstock.domain.usage import Usage
from penstock.ports.clock import Clock
from penstock.ports.cluster import Process
from penstock.ports.engine import EngineSpec, Launch, Needs

GIB = 2**30


@dataclass
class Run:
    """A process: `status` is None while it runs. `ends_at` is when it ends by itself, with `will`."""

    launch: Launch
    began: float
    status: int | None = None
    ends_at: float | None = None
    will: int = 0

    @property
    def kind(self) -> str:
        """Build or serve."""
        return self.launch.command[0]


class FakeCluster:
    """See `penstock.ports.cluster.Cluster`. Set its fields to say how processes behave from now on."""

    def __init__(self, clock: Clock, *, memory: int = 8 * GIB, devices: int = 1) -> None:
        self.clock = clock
        self.memory_of_device = memory
        self.devices_in_all = devices
        self.start_s = 0.0
        self.build_s = 4.0
        self.build_status = 0
        self.drain_s = 0.0
        self.refuses = ""
        self.words = ""
        self.runs: dict[int, Run] = {}
        self.logs: dict[Path, str] = {}
        self._pids = itertools.count(100)

    async def devices(self) -> Sequence[Device]:
        """One, or as many as were asked for, all alike."""
        names = ["cpu"] if self.devices_in_all == 1 else [f"cpu{number}" for number in range(self.devices_in_all)]
        return tuple(Device(name, "test/1", self.memory_of_device) for name in names)

    def address(self, replica_id: str) -> str:
        """A name, not a place."""
        return f"unix:/run/{replica_id}.sock"

    async def start(self, launch: Launch) -> Process:
        """Starts a process of virtual time."""
        if self.refuses:
            raise EngineFailed(self.refuses)
        if launch.device and launch.device not in {device.name for device in await self.devices()}:
            raise EngineFailed(f"There is no device '{launch.device}'.")
        if self.start_s:
            await self.clock.sleep(self.start_s)
        pid = next(self._pids)
        now = self.clock.monotonic()
        run = self.runs[pid] = Run(launch, now)
        if run.kind == "build":
            run.ends_at, run.will = now + self.build_s, self.build_status
        self.logs[launch.log] = self.logs.get(launch.log, "") + f"{' '.join(launch.command)}\n{self.words}\n"
        return Process(pid, 1.0 + now)

    async def exit_code(self, process: Process) -> int | None:
        """As the test has it."""
        run = self.runs.get(process.pid)
        return self._status(run) if run is not None else -1

    async def memory(self, process: Process) -> int:
        """A gibibyte."""
        run = self.runs.get(process.pid)
        return GIB if run is not None and self._status(run) is None else 0

    async def stop(self, process: Process, grace_s: float) -> None:
        """Ends it, after `drain_s` or the grace."""
        run = self.runs.get(process.pid)
        if run is None or self._status(run) is not None:
            return
        wait = min(self.drain_s, grace_s)
        if wait:
            await self.clock.sleep(wait)
        if run.status is None:
            run.status = -15 if self.drain_s <= grace_s else -9

    async def tail(self, log: Path, limit: int) -> str:
        """The end of what it said."""
        return self.logs.get(log, "")[-limit:]

    async def forget_logs(self, folder: Path) -> None:
        """Forgets them."""
        self.logs = {path: text for path, text in self.logs.items() if folder not in path.parents}

    def running(self, kind: str = "serve") -> list[Run]:
        """Processes of a kind that run now."""
        return [run for run in self.runs.values() if run.kind == kind and self._status(run) is None]

    def crash(self, run: Run, status: int = -9) -> None:
        """Ends a process from outside."""
        run.status = status

    def at(self, address: str) -> Run | None:
        """The engine that listens there."""
        return next((run for run in self.running() if address in run.launch.command), None)

    def _status(self, run: Run) -> int | None:
        if run.status is None and run.ends_at is not None and self.clock.monotonic() >= run.ends_at:
            run.status = run.will
        return run.status


class FakeEngineClient:
    """See `penstock.ports.engine.EngineClient`: engines of a FakeCluster, `load_s` after their start.

    `adapters` are those of each address; `refuses_adapters` and `busy_adapters` say why no more come, or go, if set.
    An engine with room takes `slower` times as long for everything.
    """

    def __init__(self, cluster: FakeCluster, *, load_s: float = 2.0, token_s: float = 0.0002) -> None:
        self.cluster = cluster
        self.load_s = load_s
        self.token_s = token_s
        self.mute = False
        self.fails = ""
        self.refuses_adapters = ""
        self.busy_adapters = ""
        self.slower = 1.0
        self.adapters: dict[str, dict[str, Path]] = {}
        self.parallel = 0
        self.most_parallel = 0

    async def healthy(self, address: str) -> bool:
        """Whether it has loaded."""
        run = self.cluster.at(address)
        return run is not None and not self.mute and self.cluster.clock.monotonic() >= run.began + self.load_s

    async def kv_tokens(self, address: str) -> int:
        """None: how much fits is not what these play."""
        assert address
        return 0

    async def load_adapter(self, address: str, name: str, folder: Path) -> str:
        """Where there is an engine with room."""
        run = self.cluster.at(address)
        if run is None or self.busy_adapters:
            raise EngineFailed(self.busy_adapters or "The engine broke off.")
        assert run.launch.command[3:], "room"
        if not self.refuses_adapters:
            self.adapters.setdefault(address, {})[name] = folder
        return self.refuses_adapters

    async def drop_adapter(self, address: str, name: str) -> None:
        """Where there is an engine."""
        if self.cluster.at(address) is None or self.busy_adapters:
            raise EngineFailed(self.busy_adapters or "The engine broke off.")
        self.adapters.get(address, {}).pop(name, None)

    async def measure(
        self, address: str, task: Task, tokens: Sequence[int], tokens_out: int, told: Callable[[int], None]
    ) -> None:
        """Takes time in proportion to tokens; requests in parallel share the engine, and win a half by it."""
        assert task in Task
        if self.fails:
            raise EngineFailed(self.fails)
        self.parallel += 1
        self.most_parallel = max(self.most_parallel, self.parallel)
        try:
            run = self.cluster.at(address)
            token_s = self.token_s * (self.slower if run is not None and run.launch.command[3:] else 1.0)
            part_s = token_s * (len(tokens) + 4 * tokens_out) * (1 + self.parallel) / 8
            for part in range(4):
                await self.cluster.clock.sleep(part_s)
                if tokens_out or part == 3:  # noqa: PLR2004 - the last one
                    told(max(tokens_out * part // 3, min(tokens_out, 1)))
        finally:
            self.parallel -= 1
        if self.cluster.at(address) is None:
            raise EngineFailed("The engine broke off.")

    async def cancel(self, address: str, request_id: str) -> Usage | None:
        """Knows no request."""
        assert address
        assert request_id
        return None


@dataclass
class FakeRecipe:
    """See `penstock.ports.engine.EngineRecipe`. Everything needs a gibibyte."""

    name: str = "fake"
    version: str = "1"
    memory: int = GIB
    memory_of_room: int = 0
    usual: Precision = Precision.INT8
    built: set[Path] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)

    def engine(self, facts: ModelFacts, precision: Precision) -> str:
        """As set."""
        assert facts.servable
        assert precision in Precision
        return f"{self.name} {self.version}"

    def refusal(self, facts: ModelFacts, precision: Precision) -> str:
        """As set, by architecture."""
        assert precision in Precision
        return self.refused.get(facts.architecture or "", "")

    def runs_on(self, facts: ModelFacts, precision: Precision) -> str:
        """What a FakeCluster has."""
        assert facts.servable
        assert precision in Precision
        return "test"

    def precision(self, facts: ModelFacts) -> Precision:
        """As set: eight bits."""
        assert facts.servable
        return self.usual

    def needs(self, facts: ModelFacts, precision: Precision, room: int = 0) -> Needs:
        """The same for all, and what was set for room."""
        assert facts.servable
        assert precision in Precision
        return Needs(self.memory + room * self.memory_of_room, 4, 8, 4096)

    def adapts(self, facts: ModelFacts) -> bool:
        """Llamas."""
        return facts.architecture == "LlamaForCausalLM"

    def room(self, facts: ModelFacts, precision: Precision, ranks: Sequence[int]) -> int:
        """In steps."""
        assert facts.servable
        assert precision in Precision
        return stepped_room(ranks)

    def build(self, spec: EngineSpec, log: Path) -> Launch:
        """A build."""
        return Launch(("build", str(spec.model), spec.precision.value), spec.environment, log)

    def is_built(self, spec: EngineSpec) -> bool:
        """As marked."""
        return spec.model in self.built

    def mark_built(self, spec: EngineSpec) -> None:
        """Remembers it."""
        self.built.add(spec.model)

    def address(self, spec: EngineSpec, place: str) -> str:
        """The place itself."""
        assert spec.facts.servable
        return place

    def serve(self, spec: EngineSpec, address: str, log: Path) -> Launch:
        """An engine."""
        room = (str(spec.room),) if spec.room else ()
        return Launch(("serve", str(spec.model), address, *room), spec.environment, log, stdin_watch=True)


class FakeGauge:
    """See `penstock.ports.engine.Gauge`."""

    async def speed(self, kind: str) -> Speed:
        """A small machine."""
        assert kind
        await asyncio.sleep(0)
        return Speed(5e11, 2e10)
