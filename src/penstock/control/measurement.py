"""One measurement: the trials of a version with one engine, from the first short one to the last repetition."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock.control.offers import workload
from penstock.domain import sweep
from penstock.domain.effort import Course
from penstock.domain.findings import DISTURBED, Findings
from penstock.domain.model import ModelFacts
from penstock.domain.profile import CostModel
from penstock.domain.sweep import Result, Trial
from penstock.ports.clock import Clock
from penstock.ports.engine import EngineClient

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
        self._found = Findings(workload(subject.facts), subject.prior, subject.max_running)

    async def run(self) -> Findings:
        """The curve, then every shape once, then what is most in doubt again; raises EngineFailed."""
        self._found.kv_tokens = await self._client.kv_tokens(self._subject.address)
        await self._curve()
        await self._shapes()
        await self._repeat()
        return self._found

    async def _curve(self) -> None:
        """Each point once, and again what cannot be."""
        found = self._found
        warm = sweep.first(*found.shape)
        await self._trial(warm)
        before = await self._trial(warm)
        while parallel := found.next_parallel():
            before = await self._point(parallel, before)
        while (doubtful := found.doubtful_point()) and self._left_s() > (1 - sweep.CURVE_PART) * self._budget_s / 2:
            before = await self._point(doubtful, before)

    async def _point(self, parallel: int, before: Result) -> Result:
        found = self._found
        allowed_s = sweep.point_s(parallel, self._budget_s)
        measured = await self._trial(sweep.next_point(parallel, found.shape, before, found.prior, allowed_s))
        found.curve.append(measured)
        return measured

    async def _shapes(self) -> None:
        found = self._found
        draft = found.draft()
        if draft.scaled and (trial := sweep.anchor(found.shape, draft.cost, self._budget_s)):
            found.anchor = await self._trial(trial)
        longest, part_s = self._subject.facts.context_length, sweep.SHAPES_PART * self._budget_s
        found.shapes = sweep.shapes(found.shape, longest, draft.cost, found.in_flight, part_s)
        end_s = self._elapsed_s() + part_s
        for number, shape in enumerate(found.shapes.all):
            left = found.shapes.all[number:]
            await self._shape(shape, sweep.shape_s(left, draft.cost, end_s - self._elapsed_s()))
            if self._left_s() < 0:
                break

    async def _repeat(self) -> None:
        """What was disturbed; the knee and the point below, for the machine may have changed meanwhile; the rest."""
        found = self._found
        await self._doubtful(DISTURBED)
        for parallel in (found.knee, found.knee // 2):
            if parallel > 2 and self._left_s() > sweep.point_s(parallel, self._budget_s):  # noqa: PLR2004 - as few as 4
                await self._point(parallel, found.others[-1])
        await self._doubtful(0.0)

    async def _doubtful(self, doubt: float) -> None:
        found = self._found
        while shape := found.doubtful(doubt):
            allowed_s = max(one.trial.seconds for one in found.others if one.trial.shape == shape)
            if allowed_s > self._left_s():
                break
            await self._shape(shape, allowed_s)

    async def _shape(self, shape: tuple[int, int], allowed_s: float) -> None:
        parallel = self._found.in_flight(shape)
        self._found.others.append(await self._trial(Trial(parallel, *shape, allowed_s)))

    def _elapsed_s(self) -> float:
        return self._clock.monotonic() - self._began

    def _left_s(self) -> float:
        return self._budget_s - self._elapsed_s()

    async def _trial(self, trial: Trial) -> Result:
        self._tell(self._elapsed_s() / self._budget_s)
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
        self._began = clock.monotonic()
        self._courses: list[Course] = []
        self._window: asyncio.Future[tuple[float, float]] = asyncio.get_running_loop().create_future()

    async def run(self) -> Result:
        workers = [asyncio.create_task(self._work(number)) for number in range(self._trial.parallel)]
        first: list[asyncio.Future[Any]] = [*workers, self._window]
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # What is in flight still is not needed: the engine ends a request that nobody waits for.
            for worker in workers:
                worker.cancel()
            ended = await asyncio.gather(*workers, return_exceptions=True)
        for failure in ended:
            if isinstance(failure, Exception):
                raise failure
        return sweep.result(self._trial, self._courses, *self._window.result())

    async def _work(self, number: int) -> None:
        """Sends requests until enough was seen."""
        trial = self._trial
        if trial.parallel > 1:
            await self._one(*trial.first(number))
        while True:
            await self._one(*trial.shape)

    async def _one(self, tokens_in: int, tokens_out: int) -> None:
        prompt = [self._random.randrange(self._vocabulary) for _ in range(tokens_in)]
        course = Course(tokens_in, self._clock.monotonic())
        self._courses.append(course)

        def told(tokens: int) -> None:
            now = self._clock.monotonic()
            course.tell(now, tokens)
            if len(course.moments) == 1 and not self._window.done():
                found = sweep.window(self._trial, self._courses, self._began, now)
                if found is not None:
                    self._window.set_result(found)

        await self._client.measure(self._address, self._task, prompt, tokens_out, told)
