"""Tells people by e-mail how updates of endpoints ended."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from penstock.domain.endpoint import Config, Endpoint, Outcome
from penstock.domain.errors import InvalidRequest, Temporary
from penstock.domain.notification import Letter, letter
from penstock.ports.clock import Clock
from penstock.ports.mail import Mailer

ATTEMPTS = 5
AGAIN_S = 60.0
MOST_WAITING = 1000
"""Letters that may wait; a mail server that is away for long costs the oldest."""
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Waiting:
    letter: Letter
    due: float
    attempts: int = 0


class Notices:
    """Hears of updates that have ended, and sends letters of them: `step` is what a loop runs.

    Letters wait in memory: those that were not sent when the server stops are lost, and said so in the log. Without a
    mailer, who would be told is in the log.
    """

    def __init__(self, mailer: Mailer | None, clock: Clock) -> None:
        self._mailer = mailer
        self._clock = clock
        self._waiting: deque[_Waiting] = deque(maxlen=MOST_WAITING)
        self._hint: Callable[[], None] = lambda: None

    def on_letter(self, hint: Callable[[], None]) -> None:
        """Sets what is called when there is something to send."""
        self._hint = hint

    def hear(self, endpoint: Endpoint, config: Config, outcome: Outcome, message: str) -> None:
        """An update has ended with that outcome; `message` says why it failed. Returns at once."""
        if outcome not in {Outcome.ACTIVE, Outcome.FAILED}:
            return
        failure = message if outcome is Outcome.FAILED else None
        made = letter(endpoint.notifications, endpoint.name, config.version, creator=config.creator, failure=failure)
        if made is None:
            return
        if self._mailer is None:
            _log.warning("not mailed, as no mail.host is set: %s (for %s)", made.subject, ", ".join(made.to))
            return
        self._waiting.append(_Waiting(made, self._clock.monotonic()))
        self._hint()

    async def step(self) -> str:
        """Sends what is due; returns a sentence if there was something."""
        sent, mailer = 0, self._mailer
        for one in list(self._waiting) if mailer is not None else []:
            if one.due > self._clock.monotonic() or mailer is None:
                continue
            one.attempts += 1
            try:
                await mailer.send(one.letter)
            except Temporary as error:
                if one.attempts < ATTEMPTS:
                    _log.warning("a notification is sent again in %.0f s: %s", AGAIN_S, error.message)
                    one.due = self._clock.monotonic() + AGAIN_S
                    continue
                self._lose(one, error.message)
            except InvalidRequest as error:
                self._lose(one, error.message)
            else:
                sent += 1
            if one in self._waiting:
                self._waiting.remove(one)
        return f"{sent} notifications sent" if sent else ""

    def close(self) -> None:
        """Says what was not sent."""
        for one in self._waiting:
            self._lose(one, "the server was stopped before it was sent")
        self._waiting.clear()

    def _lose(self, one: _Waiting, why: str) -> None:
        _log.error("a notification is lost (%s, for %s): %s", one.letter.subject, ", ".join(one.letter.to), why)
