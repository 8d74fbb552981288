"""A continuous-batching engine in virtual time, for measurements: the clock moves when it computes a step."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from penstock.domain.usage import Usage

STEP_TOKENS = 512


@dataclass(frozen=True)
class Machine:
    """Seconds: of a step, a request, a token of a prompt, each token before it, a decoded token, each of its context.

    `slow` are stretches of time in which everything takes twice as long; `jitter` is by how much steps vary.
    """

    step: float = 2e-3
    request: float = 5e-3
    prompt: float = 6e-5
    attention: float = 2e-8
    token: float = 5e-5
    context: float = 6e-7
    slow: tuple[tuple[float, float], ...] = ()
    jitter: float = 0.0


@dataclass(eq=False)
class _Job:
    tokens_in: int
    tokens_out: int
    told: Callable[[int], None]
    over: asyncio.Future
    done: int = 0
    given: int = 0


@dataclass
class BatchingEngine:
    """Both `penstock.ports.engine.EngineClient` and `penstock.ports.clock.Clock`; runs inside `async with`."""

    machine: Machine
    cache: int = 0
    seed: int = 1
    now: float = 0.0
    most_tokens: int = 0
    most_running: int = 0
    jobs: list[_Job] = field(default_factory=list)

    async def __aenter__(self):
        self._random = random.Random(self.seed)
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def monotonic(self):
        return self.now

    async def kv_tokens(self, address):
        return self.cache

    async def healthy(self, address):
        return True

    async def cancel(self, address, request_id) -> Usage | None:
        return None

    async def measure(self, address, task, tokens, tokens_out, told):
        job = _Job(len(tokens), tokens_out, told, asyncio.get_running_loop().create_future())
        self.jobs.append(job)
        try:
            await job.over
        finally:
            self.jobs.remove(job)

    async def _run(self):
        while True:
            # A request that ended is followed by the next one of its worker before the next step.
            for _ in range(4):
                await asyncio.sleep(0)
            self._step()

    def _step(self):
        live = [job for job in self.jobs if not job.over.done()]
        if not live:
            return
        self.most_running = max(self.most_running, len(live))
        self.most_tokens = max(self.most_tokens, sum(job.tokens_in + job.tokens_out for job in live))
        machine, seconds, ready = self.machine, self.machine.step, []
        budget = STEP_TOKENS
        for job in live:
            if job.done == job.tokens_in:
                seconds += machine.token + machine.context * (job.tokens_in + job.given)
                ready.append(job)
            elif budget:
                part = min(budget, job.tokens_in - job.done)
                seconds += part * (machine.prompt + machine.attention * (job.done + part / 2))
                seconds += 0.0 if job.done else machine.request
                job.done += part
                budget -= part
                ready += [job] if job.done == job.tokens_in else []
        seconds *= 1 + machine.jitter * self._random.uniform(-1, 1)
        slow = any(begin <= self.now < end for begin, end in machine.slow)
        self.now += 2 * seconds if slow else seconds
        for job in ready:
            job.given += 1
            job.told(min(job.given, job.tokens_out))
            if job.given >= job.tokens_out and not job.over.done():
                job.over.set_result(None)
