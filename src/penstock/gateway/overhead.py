"""Our own time with a request: what its client would not wait for if it asked the engine or the provider itself."""

from collections.abc import Callable
from types import TracebackType


class Overhead:
    """From when the request came until its answer begins, but for what others took.

    Entered as a context, once at a time, while the client's body, a turn, a replica, an engine or a provider is waited
    for.
    """

    __slots__ = ("_came", "_now", "_others_s", "_since", "told_ms")

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` gives seconds that never go back."""
        self._now = now
        self._came = now()
        self._others_s = 0.0
        self._since = 0.0
        self.told_ms = -1.0
        """Milliseconds, below 0 until the answer has begun."""

    def __enter__(self) -> None:
        self._since = self._now()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._others_s += self._now() - self._since

    def tell(self) -> float:
        """The answer begins now; the first time counts."""
        if self.told_ms < 0:
            self.told_ms = max((self._now() - self._came - self._others_s) * 1000, 0.0)
        return self.told_ms
