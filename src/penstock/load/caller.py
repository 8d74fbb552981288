"""Sends one request and says what became of it."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from penstock.load.prompts import Prompts
from penstock.load.row import Outcome, Row
from penstock.load.stream import Events, Whole
from penstock.load.target import Route, Target
from penstock.load.workload import Ask

OK = 200
REFUSED = 429
SERVER_ERROR = 500
SHOWN = 300
"""Characters kept of an error's message."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Which attempt of which request this is, and when it was due, in seconds since the origin."""

    number: int
    attempt: int
    due_at: float


class Caller:
    """Speaks to one endpoint. Times are seconds since `origin`, a time of the event loop's clock.

    `ended` is told of every row, also of one that is cancelled. With `keep`, rows have their `chunks`.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        target: Target,
        prompts: Prompts,
        origin: float,
        ended: Callable[[Row], None],
        *,
        keep: bool = False,
    ) -> None:
        self._session = session
        self._target = target
        self._prompts = prompts
        self._origin = origin
        self._ended = ended
        self._keep = keep
        self._clock = asyncio.get_running_loop().time

    def now(self) -> float:
        """Seconds since the origin."""
        return self._clock() - self._origin

    def body(self, ask: Ask) -> bytes:
        """What is sent for it: another prompt each time."""
        return self._target.body(ask, self._prompts)

    async def send(self, ask: Ask, turn: Turn, body: bytes) -> Row:
        """Sends the request and reads its answer; failures are rows too. A cancelled one is told of as CUT."""
        attempt = _Attempt(ask, turn, self.now())
        try:
            await asyncio.wait_for(self._exchange(ask, body, attempt), self._target.timeout_s)
        except asyncio.CancelledError:
            self._ended(attempt.row(self.now(), Outcome.CUT, "the run ended"))
            raise
        except TimeoutError:
            row = attempt.row(self.now(), Outcome.FAILED, f"no answer within {self._target.timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            row = attempt.row(self.now(), Outcome.FAILED, f"{type(error).__name__}: {error}")
        else:
            row = attempt.row(self.now(), attempt.outcome, attempt.message)
        self._ended(row)
        return row

    async def _exchange(self, ask: Ask, body: bytes, attempt: "_Attempt") -> None:
        post = self._session.post(
            self._target.address(ask),
            data=body,
            headers={"Content-Type": "application/json", **self._target.headers},
        )
        async with post as answer:
            attempt.status = answer.status
            attempt.retry_after = _seconds(answer.headers.get("Retry-After"))
            if answer.status != OK:
                attempt.refused(_message(await answer.read()))
                return
            if self._target.asks(ask) is Route.EMBEDDINGS:
                attempt.came(Whole(await answer.read()))
                return
            attempt.events = events = Events()
            keep = self._keep or ask.hangs_up
            async for piece in answer.content.iter_any():
                events.take(piece, self.now(), keep=keep)
                if ask.hangs_up and events.chunks and events.chunks[-1][1] >= ask.tokens_out:
                    attempt.outcome = Outcome.LEFT
                    answer.close()
                    return
            attempt.finished()


class _Attempt:
    """What is known of a request while it is under way."""

    def __init__(self, ask: Ask, turn: Turn, sent_at: float) -> None:
        self.ask = ask
        self.turn = turn
        self.sent_at = sent_at
        self.status = 0
        self.retry_after: float | None = None
        self.events: Events | Whole = Events()
        self.outcome = Outcome.FAILED
        self.message = ""

    def refused(self, message: str) -> None:
        """The answer is an error."""
        self.message = message
        if self.status == REFUSED:
            self.outcome = Outcome.REFUSED
        elif self.status < SERVER_ERROR:
            self.outcome = Outcome.INVALID

    def came(self, answer: Whole) -> None:
        """The whole answer is there."""
        self.events = answer
        if answer.complete:
            self.outcome = Outcome.DONE
        else:
            self.message = "the answer has no data"

    def finished(self) -> None:
        """The stream has ended, well or not."""
        error = self.events.error
        if error:
            self.message = _message(error)
        elif self.events.complete:
            self.outcome = Outcome.DONE
        else:
            self.message = "the stream ended before [DONE]"

    def row(self, now: float, outcome: Outcome, message: str) -> Row:
        return Row(
            number=self.turn.number,
            attempt=self.turn.attempt,
            due_at=self.turn.due_at,
            sent_at=self.sent_at,
            first_at=self.events.first_at,
            ended_at=now,
            tokens_in=self.events.tokens_in,
            tokens_out=self.events.tokens_out,
            status=self.status,
            outcome=outcome,
            retry_after=self.retry_after,
            message=message,
            chunks=tuple(self.events.chunks),
            asked_in=self.ask.tokens_in,
            asked_out=self.ask.tokens_out,
        )


def _seconds(header: str | None) -> float | None:
    """A `Retry-After` in seconds; one that is a date, or wrong, counts as none."""
    with contextlib.suppress(ValueError):
        return float(header or "")
    return None


def _message(body: bytes) -> str:
    """The message of an error's JSON, or its beginning."""
    try:
        told = json.loads(body)
    except ValueError:
        return body[:SHOWN].decode(errors="replace")
    if isinstance(told, dict):
        inner = told.get("error")
        told = told.get("message") or (inner.get("message") if isinstance(inner, dict) else inner) or told
    return str(told)[:SHOWN]
