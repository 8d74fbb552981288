"""How the ledger's times are told to people."""

from datetime import UTC, datetime


def told(at_ms: int) -> str:
    """Epoch milliseconds as a moment in UTC; one that no calendar has is told in milliseconds."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"
