"""What is done about an answer that is none: wait and ask again, note it as the row's error, or stop."""

from dataclasses import dataclass
from enum import StrEnum

_BUSY = frozenset({429, 503})
_BROKEN = frozenset({500, 502, 504})
_HOPELESS = frozenset({401, 403, 404})
TRIES = 4
"""Times that a row is sent to a server that fails on it."""
FIRST_S = 1.0
LAST_S = 60.0


class Next(StrEnum):
    """What to do."""

    DONE = "done"
    AGAIN = "again"
    ERROR = "error"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Step:
    """What to do, after `delay_s` seconds."""

    what: Next
    delay_s: float = 0.0


def after(status: int, retry_after_s: float | None, tries: int, chance: float) -> Step:
    """What follows an answer with `status` to a row sent `tries` times. `chance` in [0, 1) spreads those that wait.

    A busy server is asked again without end, when it says; one that fails a few times. No row is given up for being
    sent too early. What is wrong for every row alike (no such endpoint, no permission) stops the batch.
    """
    if status in _BUSY:
        delay = back_off(tries) if retry_after_s is None else min(max(retry_after_s, 0.0), LAST_S)
        return Step(Next.AGAIN, delay * (1 + chance / 4))
    if status in _BROKEN and tries < TRIES:
        return Step(Next.AGAIN, back_off(tries) * (1 + chance / 4))
    if status in _HOPELESS:
        return Step(Next.STOP)
    return Step(Next.DONE if status < 400 else Next.ERROR)  # noqa: PLR2004 - HTTP: errors begin here


def back_off(tries: int) -> float:
    """Seconds to wait after the `tries`-th time: doubled from 1 to 60."""
    return min(LAST_S, FIRST_S * 2.0 ** min(tries - 1, 10))
