"""What belongs to the system itself: everybody may use it, and nobody may change it."""

from penstock.domain.errors import PermissionDenied
from penstock.domain.names import SchemaName

SYSTEM = "System"
"""Who is told to have made it."""
AI_SCHEMA = SchemaName("system", "ai")
"""Where foundation models are."""


def is_system(catalog: str) -> bool:
    """Whether the catalog of that name is the system's."""
    return catalog == AI_SCHEMA.catalog


def check_not_system(catalog: str) -> None:
    """Raises PermissionDenied for what is in the system's catalog."""
    if is_system(catalog):
        raise PermissionDenied(
            f"The catalog '{catalog}' is the system's own: everybody may use what is in it, and nobody may change it. "
            "`penstock models` brings and removes its models."
        )
