"""Foundation models, wired: what `penstock models pull` brought comes into the server's catalogue and is served."""

from collections.abc import Callable

from penstock.adapters.artifacts.folder import FolderArtifacts
from penstock.adapters.foundation.shelf import FolderShelf
from penstock.adapters.store.store import SqlStore
from penstock.control.foundation_models import FoundationModels
from penstock.control.loop import Loop
from penstock.control.versions import Versions
from penstock.domain.foundation import Foundation
from penstock.ports.clock import Clock
from penstock.settings import Settings

SHELF = "foundation"
"""Where models come to, in the data folder."""
LOOK_S = 5.0
"""How often it is looked for models that came or are to go."""


async def make_foundation(
    settings: Settings,
    store: SqlStore,
    artifacts: FolderArtifacts,
    versions: Versions,
    *,
    foundation: Foundation,
    hint: Callable[[str], None],
    clock: Clock,
) -> Loop:
    """The system's catalog, which is there when this returns, and the loop that fills it."""
    shelf = FolderShelf(settings.data_dir.absolute() / SHELF)
    models = FoundationModels(store, clock, shelf, foundation, versions=versions, artifacts=artifacts, hint=hint)
    await models.prepare()
    return Loop("foundation models", models.step, clock, period_s=LOOK_S)
