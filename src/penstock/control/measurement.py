"""One measurement: the trials of a version with one engine, from the first short one to the last shape."""

import asyncio
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from penstock.control.offers import workload
from penstock.domain import sweep
from penstock.domain.model import ModelFacts
from penstock.domain.profile import CostModel, pin
from penstock.domain.sweep import Result, Trial
from penstock.ports.clock import Clock
from penstock.ports.engine import EngineClient, Sample

_FEW_TOKENS = 256
"""Prompts are random tokens; a vocabulary that is not known is taken to have so many."""
_SEED = 2304


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: an engine that serves nobody else, `prior` being the cost of a request as estimated."""

    address: str
    facts: ModelFacts
    prior: CostModel
    max_running: int


class Measurement:
    """Takes about `budget_s`; `tell` is called with the progress from 0 to 1."""

    def __init__(
        self, client: EngineClient, clock: Clock, subject: Subject, budget_s: float, tell: Callable[[float], None]
    ) -> None:
        self._client = client
        self._clock = clock
        self._subject = subject
        self._budget_s = budget_s
        self._tell = tell
        self._began = clock.monotonic()
        # The same prompts each time: a measurement is repeated, not varied.
        self._random = random.Random(_SEED)  # noqa: S311 - prompts, not secrets
        self._shape = workload(subject.facts)
        self._kv_tokens = 0

    async def run(self) -> tuple[list[Result], list[Result], list[Result]]:
        """The curve, the grid of shapes and the held-out ones; raises EngineFailed."""
        self._kv_tokens = await self._client.kv_tokens(self._subject.address)
        curve = await self._curve()
        best = sweep.best_of(curve)
        whole = best.tokens_per_s
        cost = pin(self._subject.prior, best.trial.tokens_in, best.trial.tokens_out, whole)
        parallel = best.trial.parallel
        shapes = sweep.shapes(
            self._shape, self._subject.facts.context_length, cost, parallel, (1 - sweep.CURVE_PART) * self._budget_s
        )
        results: list[Result] = []
        for number in range(len(shapes.all)):
            if results and self._elapsed() > sweep.OVERTIME * self._budget_s:
                break
            fits = sweep.most_parallel(shapes.all[number], parallel, self._kv_tokens)
            trial = sweep.next_shape(shapes.all[number:], cost, fits, self._budget_s - self._elapsed())
            results.append(await self._trial(trial))
            self._tell(sweep.CURVE_PART + (1 - sweep.CURVE_PART) * (number + 1) / len(shapes.all))
        cut = len(shapes.grid)
        return curve, results[:cut], results[cut:]

    async def _curve(self) -> list[Result]:
        warm = sweep.first(*self._shape)
        await self._trial(warm)
        before = await self._trial(warm)
        curve: list[Result] = []
        budget_s = sweep.CURVE_PART * self._budget_s
        most = sweep.most_parallel(self._shape, self._subject.max_running, self._kv_tokens)
        while parallel := sweep.more(curve, most):
            before = await self._trial(
                sweep.next_point(parallel, self._shape, before, budget_s * sweep.point_part(parallel))
            )
            curve.append(before)
            self._tell(min(self._elapsed() / self._budget_s, sweep.CURVE_PART))
        return curve

    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._began

    async def _trial(self, trial: Trial) -> Result:
        return await _Closed(self._client, self._clock, self._subject, trial, self._random).run()


class _Closed:
    """A closed loop: each worker sends its next request when the one before has ended."""

    def __init__(
        self,
        client: EngineClient,
        clock: Clock,
        subject: Subject,
        trial: Trial,
        source: random.Random,
    ) -> None:
        assert subject.facts.task is not None
        self._client = client
        self._clock = clock
        self._address = subject.address
        self._task = subject.facts.task
        self._vocabulary = (subject.facts.shape.vocabulary if subject.facts.shape else 0) or _FEW_TOKENS
        self._trial = trial
        self._random = source
        self._started = clock.monotonic()
        self._under_way = 0
        self._counted_from = 0.0
        self._samples: list[Sample] = []

    async def run(self) -> Result:
        workers = [asyncio.create_task(self._work(number)) for number in range(self._trial.parallel)]
        try:
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # What is in flight still is not needed: the engine ends a request that nobody waits for.
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        wall = max([worker.result() for worker in done])
        return Result(
            self._trial,
            len(self._samples),
            max(wall, 1e-6),
            statistics.median(sample.seconds for sample in self._samples),
            statistics.median(sample.ttft_s for sample in self._samples),
        )

    async def _work(self, number: int) -> float:
        """Sends requests until enough were counted; the seconds that those took together."""
        trial = self._trial
        if trial.parallel > 1:
            await self._one(*trial.first(number))
        self._under_way += 1
        if self._under_way == trial.parallel:
            self._counted_from = self._clock.monotonic()
        while True:
            sample = await self._one(trial.tokens_in, trial.tokens_out)
            now = self._clock.monotonic()
            if self._under_way < trial.parallel:
                continue
            self._samples.append(sample)
            late = now - self._started > trial.limit_s and len(self._samples) >= trial.least
            if late or len(self._samples) >= trial.count:
                return now - self._counted_from

    async def _one(self, tokens_in: int, tokens_out: int) -> Sample:
        prompt = [self._random.randrange(self._vocabulary) for _ in range(tokens_in)]
        return await self._client.measure(self._address, self._task, prompt, tokens_out)
