"""One connection to an engine."""

from penstock.adapters.http_connection import HttpConnection
from penstock.domain.errors import EngineFailed


class EngineConnection(HttpConnection):
    """Raises EngineFailed if it breaks off."""

    def failure(self, why: str) -> EngineFailed:
        """The engine's failure."""
        return EngineFailed(f"The engine broke off: {why}.")
