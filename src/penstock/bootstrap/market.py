"""The marketplace, wired."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import cache

from penstock.adapters.artifacts.folder import FolderArtifacts
from penstock.adapters.foundation.installs import InstallFolder
from penstock.adapters.models.reader import FolderReader
from penstock.control.credentials import new_id
from penstock.control.installs import Installs
from penstock.control.marketplace import Marketplace
from penstock.ports.clock import Clock
from penstock.ports.market import Market
from penstock.settings import Settings
from penstock.web.databricks.catalogue import Catalogue
from penstock.web.databricks.serving_endpoints import Serving

FOLDER = "marketplace"


async def make_market(
    settings: Settings,
    catalogue: Catalogue,
    artifacts: FolderArtifacts,
    serving: Serving,
    *,
    clock: Clock,
    stack: AsyncExitStack,
) -> tuple[Marketplace, Installs]:
    """What hubs offer, and installations, which have recovered."""
    given = settings.marketplace
    token = given.token.get_secret_value() if given.token is not None else None

    @cache
    def markets() -> Mapping[str, Market]:
        # The library takes a second to import, which a start has not to spare.
        from penstock.adapters.hub.market import HuggingFaceMarket

        made = [HuggingFaceMarket(address or None, token) for address in given.hubs.split() or [""]]
        return {one.address: one for one in made}

    market = Marketplace(markets, FolderReader(), serving.optimization.offers)
    files = InstallFolder(settings.data_dir.absolute() / FOLDER)
    installs = Installs(
        market,
        files,
        models=catalogue.models,
        versions=catalogue.versions,
        artifacts=artifacts,
        grants=catalogue.grants,
        clock=clock,
        new_id=new_id,
    )
    await installs.recover()
    stack.push_async_callback(installs.close)
    return market, installs
