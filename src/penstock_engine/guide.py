"""Holds one answer to its grammar: which tokens may come next, computed beside the model's steps."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from penstock_engine.grammar import Mind
from penstock_engine.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from llguidance import LLMatcher
    from numpy.typing import NDArray

    from penstock_engine.closing import Closing
    from penstock_engine.words import Words

_log = logging.getLogger(__name__)
_THREADS = 2
_TRY_AGAIN = 16
"""Tokens after which a way to the end is looked for again where none was found."""


class Masks:
    """The threads that compute masks, and the news that one is ready."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        """`observe` is told the seconds that each mask took."""
        self._threads = ThreadPoolExecutor(_THREADS, "masks")
        self._observe = observe
        self.news = threading.Event()

    def submit(self, work: Callable[[], None]) -> None:
        """Do it soon; `news` is set afterwards."""
        self._threads.submit(self._run, work)

    def stop(self) -> None:
        """End after what is under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Callable[[], None]) -> None:
        started = time.perf_counter()
        work()
        self._observe(time.perf_counter() - started)
        self.news.set()


class Guide:
    """One answer's place in its grammar.

    `forbidden` and `failed` may be read while `ready` is set, by the step thread; between `push` and `ready` the guide
    belongs to the threads of masks.
    """

    __slots__ = (
        "_budget", "_check_in", "_closing", "_ends", "_matcher", "_mind", "_room", "_way", "_words", "failed",
        "forbidden", "ready",
    )  # fmt: skip

    def __init__(
        self, matcher: LLMatcher, words: Words, closing: Closing, *, ends: NDArray[np.int64], budget: int, room: int,
        mind: Mind,
    ) -> None:  # fmt: skip
        """`budget`: tokens of the answer, its end included; `room`: tokens that one token may make the way longer."""
        self._matcher = matcher
        self._words = words
        self._closing = closing
        self._ends = ends
        self._budget = budget
        self._room = room
        self._check_in = 0
        self._way: list[int] | None = None
        self._mind = None if mind is Mind.NONE else Reader(None, thinks=mind is Mind.MAY, thinking=mind is Mind.OPEN)
        self.failed = False
        self.forbidden: NDArray[np.bool_] = np.empty(0, np.bool_)
        """[vocabulary]: what must not come next."""
        self.ready = threading.Event()
        self._compute()

    def push(self, token: int, masks: Masks) -> None:
        """The token was chosen: find out what may follow it. For the step thread."""
        self.ready.clear()
        masks.submit(lambda: self._advance(token))

    def _advance(self, token: int) -> None:
        try:
            self._budget -= 1
            if self._matcher.consume_token(token):
                if self._mind is not None:
                    self._mind.push(self._words.tokens[token].decode("utf-8", "replace"))
                self._follow(token)
                self._compute()
            else:
                self._fail(self._matcher.get_error())
        except Exception:  # noqa: BLE001 - the runner: whatever it is, the answer must end
            _log.exception("a mask could not be computed")
            self.failed = True
            self.ready.set()

    def _follow(self, token: int) -> None:
        """What is known of the way after one more token."""
        self._check_in -= 1
        self._way = self._way[1:] if self._way and self._way[0] == token else None

    def _compute(self) -> None:
        self._look()
        if self._way is not None and len(self._way) + 1 + self._room >= self._budget:
            self._only(self._way[:1])
        else:
            bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
            allowed = np.unpackbits(bits, count=len(self._words.tokens), bitorder="little")
            self.forbidden = allowed == 0
            if allowed[self._words.eos_token_id]:
                self.forbidden[self._ends] = False
        if self._matcher.is_error():
            self._fail(self._matcher.get_error())
        elif self.forbidden.all():
            self._fail("no token of the model can follow")
        self.ready.set()

    def _look(self) -> None:
        """Look for the way to the end, as rarely as possible: each token brings it closer by `room` + 1 at most."""
        if self._way is None:
            if self._check_in > 0:
                return
            thinking = self._mind is not None and self._mind.thinking
            self._way = self._closing.way(self._matcher, self._budget - 1, thinking=thinking)
        if self._way is None:
            self._check_in = _TRY_AGAIN
        else:
            self._check_in = (self._budget - len(self._way) - 1 - self._room) // (self._room + 1)

    def _only(self, tokens: list[int]) -> None:
        """Nothing but these may follow; nothing at all is the end."""
        self.forbidden = np.ones(len(self._words.tokens), np.bool_)
        self.forbidden[tokens or self._ends] = False

    def _fail(self, why: str) -> None:
        _log.warning("an answer cannot be held to its grammar: %.300s", why)
        self.failed = True
        self.ready.set()
