"""Models on a real server, measured, and endpoints of them for sale: who has bought what just now."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from guarantee import engine, machine
from guarantee.engine import Engine
from guarantee.runs import Tenant
from guarantee.stand import ENDPOINTS, Stand
from guarantee.work import Scale
from models import ROOMY, ensure_model
from penstock.domain.profile import REFERENCE_TOKENS, CostModel

COEFFICIENTS = "caebd"
BUCKETS = Path(__file__).parent / "buckets.py"


class Way(StrEnum):
    """How requests come to the engine. The value is the ending of figures."""

    GATE = ""
    NO_GATE = "_no_gate"
    BUCKETS = "_buckets"


@dataclass(frozen=True, slots=True)
class Ware:
    """A model version that was measured. `profile` is as the server tells it."""

    shape: str
    name: str
    version: str
    chunk: int
    slices: int
    throughput: float
    profile: Mapping[str, Any]

    @property
    def residence_s(self) -> float:
        """Seconds for which a reference request is in flight at the knee."""
        return float(self.profile["knee"]) * REFERENCE_TOKENS / self.throughput

    @property
    def scale(self) -> Scale:
        """What requests cost."""
        cost = CostModel(**{key: self.profile["cost"][key] for key in COEFFICIENTS})
        return Scale(cost, self.throughput, stretch=2.0)


@dataclass(slots=True)
class Market:
    """The stand, what it sells, and the endpoints that stand on it now: chunks of wares by name.

    `tell` hears what its user should know; a measurement that was disturbed is repeated `repeats` times at most.
    """

    stand: Stand
    models: Path
    tell: Callable[[str], None]
    repeats: int = 2
    wares: dict[str, Ware] = field(default_factory=dict)
    sold: dict[str, tuple[Ware, int]] = field(default_factory=dict)

    async def ware(self, shape: str) -> Ware:
        """The version of that shape, registered and measured when it is first asked for."""
        if shape not in self.wares:
            # Nothing else is on the device while it is measured.
            await self.sell({})
            folder = await asyncio.to_thread(ensure_model, ROOMY[shape], self.models)
            name = f"main.default.bench_{shape}"
            version = await self.stand.register(name, folder)
            await self._measure(name, version)
            info = await self.stand.call("GET", f"{ENDPOINTS}/get-model-optimization-info/{name}/{version}")
            await self._remove("measured")
            chunk, slices = int(info["throughput_chunk_size"]), int(info["slices"])
            ware = Ware(shape, name, version, chunk, slices, float(info["throughput"]), info["profile"])
            self.wares[shape] = ware
        return self.wares[shape]

    async def _measure(self, name: str, version: str) -> None:
        """Deploys the version, which measures it; measures it again where others had the machine meanwhile."""
        began = machine.used()
        await self.stand.deploy("measured", name, version, 0, 100)
        for _ in range(self.repeats):
            others = began.others(machine.used())
            if not machine.is_disturbed(others):
                return
            self.tell(f"others had {others:.2f} cores while the model was measured: once more")
            began = machine.used()
            await self.stand.measure(name, version)

    async def sell(self, wanted: Mapping[str, tuple[Ware, int]]) -> list[Tenant]:
        """Leaves exactly these endpoints, each with so many chunks of a ware, always; returns them as tenants."""
        for name in [name for name, sale in self.sold.items() if wanted.get(name) != sale]:
            await self._remove(name)
        for name, (ware, chunks) in wanted.items():
            if name not in self.sold:
                rate = chunks * ware.chunk
                await self.stand.deploy(name, ware.name, ware.version, rate, rate)
                self.sold[name] = (ware, chunks)
        return [
            Tenant(self.stand.target(name), chunks * ware.chunk, ware.scale, ware.residence_s)
            for name, (ware, chunks) in wanted.items()
        ]

    async def idle(self) -> None:
        """Waits until no engine has anything to do."""
        for one in await engine.running(self.stand.sockets()):
            await one.idle()

    async def engine(self, ware: Ware) -> Engine:
        """The engine that serves a ware."""
        return await engine.of_model(self.stand.sockets(), f"{ware.name}/{ware.version}")

    async def engine_of(self, tenant: Tenant) -> Engine:
        """The engine that serves a tenant's model."""
        return await self.engine(self.sold[tenant.target.endpoint][0])

    @asynccontextmanager
    async def reached(self, tenants: Sequence[Tenant], way: Way) -> AsyncIterator[list[Tenant]]:
        """The tenants with their requests going that way."""
        if way is Way.GATE:
            yield list(tenants)
            return
        engines = {tenant.target.endpoint: await self.engine_of(tenant) for tenant in tenants}
        if way is Way.NO_GATE:
            yield [replace(one, target=engines[one.target.endpoint].target(one.target.endpoint)) for one in tenants]
            return
        socket = self.stand.folder / "buckets.sock"
        limits = [f"{one.target.endpoint}={engines[one.target.endpoint].socket}={60 * one.bought}" for one in tenants]
        command = [sys.executable, str(BUCKETS), str(socket), *limits]
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        try:
            assert process.stdout is not None
            await process.stdout.readline()
            yield [replace(one, target=Engine(socket).target(one.target.endpoint)) for one in tenants]
        finally:
            process.terminate()
            await process.wait()

    async def _remove(self, name: str) -> None:
        await self.stand.call("DELETE", f"{ENDPOINTS}/{name}")
        self.sold.pop(name, None)


def two(ware: Ware, second: Ware | None = None) -> dict[str, tuple[Ware, int]]:
    """Two endpoints with half of the chunks each; an odd one is the neighbour's, so that 90 % is sold in any case."""
    second = second or ware
    if second is ware and ware.slices < 2:
        raise LookupError(f"{ware.shape} is sold in one chunk on this machine: two tenants need one each")
    own = max(ware.slices // 2, 1)
    other = second.slices - own if second is ware else max(second.slices // 2, 1)
    return {"own": (ware, own), "other": (second, other)}


def profile_figures(ware: Ware) -> dict[str, float]:
    """How wrong the cost model is, as far as it was measured, and what is sold."""
    figures = {"t": ware.throughput, "knee": float(ware.profile["knee"]), "chunk": float(ware.chunk)}
    for key in ("mean", "worst"):
        value = ware.profile.get(f"held_out_{key}")
        if value is not None:
            figures[f"cost_model_error_{key}"] = float(value)
    return figures


def told(ware: Ware) -> str:
    """The ware in a line."""
    curve = ", ".join(f"{point['parallel']}: {point['tokens_per_s']:,.0f}" for point in ware.profile.get("curve", ()))
    return (
        f"{ware.shape}: T {ware.throughput:,.0f} tokens/s at {ware.profile['knee']} in parallel"
        f" (residence {ware.residence_s:.1f} s), {ware.slices} chunks of {ware.chunk:,}; curve {curve}"
    )
