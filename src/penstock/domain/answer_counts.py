"""How many requests were answered with which status, by the part of the server that they came to."""

from enum import StrEnum

GONE = 499
"""The status that is told of a client that did not wait for its answer."""


class Plane(StrEnum):
    """The two parts that serve HTTP."""

    CONTROL = "control"
    DATA = "data"


class AnswerCounts:
    """Since the start of the process."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Plane, int], int] = {}

    def see(self, plane: Plane, status: int) -> None:
        """One more."""
        key = (plane, status)
        self._counts[key] = self._counts.get(key, 0) + 1

    def told(self) -> dict[tuple[Plane, int], int]:
        """As it is now."""
        return dict(self._counts)
