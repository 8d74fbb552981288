"""Sends a workload to an endpoint and returns what became of every request."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass

import aiohttp

from penstock.domain.errors import InvalidParameter, InvalidRequest, Temporary
from penstock.load.arrivals import Arrivals, Closed
from penstock.load.caller import SERVER_ERROR, Caller, Turn
from penstock.load.prompts import WORDS, Ids, Prompts, Words, fit
from penstock.load.row import Outcome, Row
from penstock.load.target import Route, Target
from penstock.load.workload import Ask, Workload

DRAIN_S = 60.0
PAUSE_S = 0.2
"""A caller of a closed loop waits so long after an error, so that errors do not come by the thousand."""
SHORT_WORDS = 8
TRIES = 3


@dataclass(frozen=True, slots=True)
class Retry:
    """What a caller does when refused: sends again up to `most` times.

    It waits as `Retry-After` says, or, when that is missing or not to be honoured, `otherwise_s` seconds.
    """

    most: int = 0
    honour: bool = True
    otherwise_s: float = 1.0

    def wait_s(self, row: Row) -> float:
        """Seconds to wait after a refusal."""
        return row.retry_after if self.honour and row.retry_after is not None else self.otherwise_s


@dataclass(frozen=True, slots=True)
class Results:
    """All attempts of a run in the order they were sent. `origin` is the event loop's time at second 0 of the rows.

    The load began at `began` and went on for `seconds`; what was under way then was waited for a while.
    """

    endpoint: str
    arrivals: Arrivals
    origin: float
    began: float
    seconds: float
    rows: tuple[Row, ...]


async def run(
    target: Target,
    workload: Workload,
    arrivals: Arrivals,
    duration_s: float,
    *,
    prompts: Prompts | None = None,
    retry: Retry | None = None,
    drain_s: float = DRAIN_S,
    origin: float | None = None,
    seen: Callable[[Row], None] | None = None,
    chunks: bool = False,
) -> Results:
    """Sends requests for `duration_s` seconds, then waits up to `drain_s` for the answers under way.

    Without `prompts`, the endpoint is first asked how many tokens words have. Several runs side by side share an
    `origin` (a time of the event loop), so that their rows' times compare. `seen` is told of each row as it ends.
    With `chunks`, rows keep the times at which tokens came.

    Raises InvalidParameter for arguments that make no sense, and what `calibrate` raises. Requests that fail do not
    raise: they are rows.
    """
    if not duration_s > 0:
        raise InvalidParameter(f"duration must be positive seconds, but is {duration_s}")
    if isinstance(prompts, Ids) and target.route is Route.CHAT:
        raise InvalidParameter("token ids can be sent to completions only, not to chat")
    if prompts is None:
        prompts = await prompts_for(target, workload)
    async with open_session(target) as session:
        began = asyncio.get_running_loop().time()
        origin = began if origin is None else origin
        rows: list[Row] = []

        def ended(row: Row) -> None:
            rows.append(row)
            if seen is not None:
                seen(row)

        caller = Caller(session, target, prompts, origin, ended, keep=chunks)
        load = _Load(caller, workload, retry or Retry(), began - origin, duration_s)
        await load.go(arrivals, drain_s)
    rows.sort(key=lambda row: row.sent_at)
    return Results(target.endpoint, arrivals, origin, began - origin, duration_s, tuple(rows))


async def calibrate(target: Target, longest: int) -> Words:
    """Asks the endpoint how many tokens words have, with prompts of up to about `longest` tokens.

    Raises InvalidRequest or Temporary when it does not answer well, InvalidParameter when it does not tell.
    """
    async with open_session(target) as session:
        few = await _prompt_tokens(session, target, SHORT_WORDS)
        # Half as long as the longest by the first measure, so that it fits whatever the tokenizer makes of words.
        more = max(round(longest / 2 * SHORT_WORDS / max(few, 1)), 2 * SHORT_WORDS)
        if more > len(WORDS):
            more -= more % len(WORDS)  # all words equally often: the mean is not a sample's, it is that of all
        return fit([(SHORT_WORDS, few), (more, await _prompt_tokens(session, target, more))])


async def prompts_for(target: Target, workload: Workload) -> Words:
    """Prompts calibrated for a workload, unless all its requests bring their own; raises as `calibrate` does."""
    if all(ask.body is not None for ask in workload.asks):
        return Words()
    return await calibrate(target, workload.longest)


def open_session(target: Target) -> aiohttp.ClientSession:
    """A session without a limit on connections: who waits is for the server to decide."""
    connector: aiohttp.BaseConnector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    if target.socket:
        connector = aiohttp.UnixConnector(target.socket, limit=0, keepalive_timeout=60)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
    )


async def _prompt_tokens(session: aiohttp.ClientSession, target: Target, words: int) -> int:
    caller = Caller(session, target, Words(), asyncio.get_running_loop().time(), lambda _: None)
    for attempt in range(TRIES):
        ask = Ask(words, 1)
        row = await caller.send(ask, Turn(0, attempt, caller.now()), caller.body(ask))
        if row.outcome is not Outcome.REFUSED:
            break
        await asyncio.sleep(Retry().wait_s(row))
    if not row.served:
        told = f"{target.endpoint} did not answer the first request: {f'HTTP {row.status}: ' * bool(row.status)}"
        kind = InvalidRequest if 0 < row.status < SERVER_ERROR else Temporary
        raise kind(told + row.message)
    return row.tokens_in


class _Load:
    """One run. Times are seconds since the origin."""

    def __init__(self, caller: Caller, workload: Workload, retry: Retry, begin: float, duration_s: float) -> None:
        self._caller = caller
        self._asks: Iterator[Ask] = workload.stream()
        self._retry = retry
        self._begin = begin
        self._end = begin + duration_s
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    async def go(self, arrivals: Arrivals, drain_s: float) -> None:
        """Sends until the end, waits for what is under way, and cuts the rest."""
        try:
            if isinstance(arrivals, Closed):
                for _ in range(arrivals.parallel):
                    self._start(self._worker())
            else:
                await self._send_at(arrivals.times())
            await self._sleep_until(self._end)
            if self._tasks and drain_s > 0:
                await asyncio.wait(self._tasks, timeout=drain_s)
        finally:
            # Also when the run itself is cancelled: no request outlives it.
            for task in self._tasks:
                task.cancel()
            ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for one in ended:
            if isinstance(one, Exception):
                raise one

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def _send_at(self, times: Iterator[float]) -> None:
        for at in times:
            due = self._begin + at
            if due >= self._end:
                return
            await self._sleep_until(due)
            self._tasks = {task for task in self._tasks if not task.done() or task.exception()}
            self._start(self._request(due))

    async def _worker(self) -> None:
        while self._caller.now() < self._end:
            served = await self._request_served(self._caller.now())
            if not served:
                await asyncio.sleep(PAUSE_S)

    async def _request(self, due: float) -> None:
        await self._request_served(due)

    async def _request_served(self, due: float) -> bool:
        """Sends one request, and again when refused, as long as the run goes on; returns whether it was served."""
        ask, number = next(self._asks), next(self._numbers)
        # The same each time, as clients that retry send it.
        body = self._caller.body(ask)
        row = await self._caller.send(ask, Turn(number, 0, due), body)
        for attempt in range(1, self._retry.most + 1):
            due = row.ended_at + self._retry.wait_s(row)
            if row.outcome is not Outcome.REFUSED or due >= self._end:
                break
            await self._sleep_until(due)
            row = await self._caller.send(ask, Turn(number, attempt, due), body)
        return row.served

    async def _sleep_until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - self._caller.now()))
