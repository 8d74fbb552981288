"""The rows on their way: a bounded window of them, each sent until it has an answer."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from penstock.adapters.batches.answers import AnswerFile, ok
from penstock.adapters.batches.rows import RowFile
from penstock.domain.batch_estimate import Learned, Used
from penstock.domain.batch_patience import Next, after, back_off
from penstock.domain.batch_row import Place, Row, answered, unanswered
from penstock.domain.errors import PenstockError, Temporary
from penstock.ports.clock import Clock

SYNC_S = 5.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer to a row."""

    status: int
    body: bytes
    request_id: str
    retry_after_s: float | None


class Server(Protocol):
    """Where rows are sent."""

    async def ask(self, body: bytes) -> Reply:
        """Sends a request's body at batch priority; raises Temporary if no answer came."""
        ...


class Work:
    """Sends rows. What is learned of their sizes, and how it goes, can be read at any time."""

    def __init__(
        self,
        rows: RowFile,
        answers: AnswerFile,
        server: Server,
        clock: Clock,
        *,
        chance: Callable[[], float],
        patience_s: float,
    ) -> None:
        """`chance` gives uniform numbers in [0, 1); a server that does not answer is given up after `patience_s`."""
        self.learned = Learned()
        self.done = self.errors = self.waiting = 0
        self.tokens_in = self.tokens_out = 0
        self._rows = rows
        self._answers = answers
        self._server = server
        self._clock = clock
        self._chance = chance
        self._patience_s = patience_s
        self._heard = clock.monotonic()
        self._synced = clock.monotonic()

    async def send(self, places: Sequence[Place], window: int) -> None:
        """Sends the rows, at most `window` at a time, until each has an answer.

        Raises PenstockError when it makes no sense to go on; what is done by then is kept.
        """
        self._heard = self._clock.monotonic()
        waiting = iter(places)

        async def one_after_another() -> None:
            for place in waiting:
                await self._one(place)

        workers = [asyncio.create_task(one_after_another()) for _ in range(min(window, len(places)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self._answers.sync()

    async def _one(self, place: Place) -> None:
        if place.problem:
            self._keep(place, unanswered(f"row-{place.number}", f"row-{place.number}", "INVALID_ROW", place.problem))
            return
        row = self._rows.read(place)
        reply = await self._answer(row)
        body = _body(reply.body)
        self._keep(place, answered(f"row-{row.number}", row.custom_id, reply.status, reply.request_id, body))
        usage = body.get("usage") if isinstance(body, dict) else None
        if reply.status < 400 and isinstance(usage, dict):  # noqa: PLR2004 - HTTP: errors begin here
            self._learn(place, usage)

    async def _answer(self, row: Row) -> Reply:
        """The row's answer, be it an error of its own."""
        tries, content = 0, row.content
        while True:
            tries += 1
            try:
                reply = await self._server.ask(content)
            except Temporary as error:
                self._lost(error)
                await self._pause(back_off(tries) * (1 + self._chance() / 4))
                continue
            self._heard = self._clock.monotonic()
            step = after(reply.status, reply.retry_after_s, tries, self._chance())
            if step.what is Next.STOP:
                raise PenstockError(f"The server refuses rows with status {reply.status}: {_message(reply.body)}")
            if step.what is not Next.AGAIN:
                return reply
            await self._pause(step.delay_s)

    def _lost(self, error: Temporary) -> None:
        silent_s = self._clock.monotonic() - self._heard
        if silent_s > self._patience_s:
            raise PenstockError(f"The server has not answered for {silent_s:.0f} s: {error.message}") from error

    async def _pause(self, seconds: float) -> None:
        self.waiting += 1
        try:
            await self._clock.sleep(seconds)
        finally:
            self.waiting -= 1

    def _keep(self, place: Place, answer: dict[str, Any]) -> None:
        self._answers.add(place.number, place.digest, answer)
        self.done += 1
        self.errors += not ok(answer)
        now = self._clock.monotonic()
        if now - self._synced >= SYNC_S:
            self._synced = now
            self._answers.sync()

    def _learn(self, place: Place, usage: dict[str, Any]) -> None:
        tokens_in, tokens_out = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
        self.learned.learn(Used(place.size, tokens_in, tokens_out))
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out

    def recall(self, place: Place) -> None:
        """Learns from a row that was done before."""
        with suppress(KeyError, TypeError, AttributeError):
            usage = self._answers.read(place.number)["response"]["body"]["usage"]
            self.learned.learn(Used(place.size, usage["prompt_tokens"], usage.get("completion_tokens") or 0))


def _body(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")


def _message(content: bytes) -> str:
    found = _body(content)
    return str(found.get("message", found) if isinstance(found, dict) else found)[:500]
