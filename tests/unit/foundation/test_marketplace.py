"""What hubs offer, how it would do here, and its installation."""

import asyncio
import threading

import pytest
from hub_server import COMMIT, Repository, checkpoint

from penstock.adapters.artifacts.folder import FolderArtifacts
from penstock.adapters.foundation.installs import InstallFolder
from penstock.adapters.hub.market import HuggingFaceMarket
from penstock.adapters.models.reader import FolderReader
from penstock.control.credentials import new_id
from penstock.control.grants import CatalogGrants
from penstock.control.installs import Installs, InstallWish
from penstock.control.marketplace import Marketplace
from penstock.control.models import Models
from penstock.control.versions import Versions
from penstock.domain.access import ADMINS, USERS, Caller, Principal, PrincipalKind, Scope
from penstock.domain.errors import Conflict, DoesNotExist, InvalidParameter, PermissionDenied
from penstock.domain.market import InstallState, Listing, Query, matches
from penstock.domain.model import Task
from penstock.domain.names import ModelName
from penstock.testing.clock import FakeClock
from penstock.testing.market import ADDRESS, FakeMarket
from penstock.testing.serving import World
from penstock.testing.store import FakeStore

ROOT = Caller(Principal("1", "root", "Root", PrincipalKind.USER, frozenset({ADMINS, USERS})), Scope.ALL_APIS, "t1")
BOB = Caller(Principal("2", "bob", "Bob", PrincipalKind.USER, frozenset({USERS})), Scope.ALL_APIS, "t2")
MINE = ModelName("main", "default", "mine")
WISH = InstallWish("org/tiny", MINE, Task.CHAT)


class Place:
    """A server's marketplace over hubs in memory."""

    def __init__(self, root):
        self.root = root
        self.clock = FakeClock()
        self.store = FakeStore()
        self.world = World(self.store, self.clock)
        self.hub, self.mirror = FakeMarket(), FakeMarket("http://mirror.test")
        self.hub.add("org/tiny", checkpoint(), family="llama", pipeline="text-generation", parameters=64, downloads=5)
        self.market = Marketplace(
            lambda: {one.address: one for one in (self.hub, self.mirror)}, FolderReader(), self.world.offers
        )
        self.artifacts = FolderArtifacts(root / "artifacts")
        self.versions = Versions(self.store, self.clock, self.artifacts, FolderReader())
        self.server()

    def server(self):
        models = Models(self.store, self.clock, self.artifacts)
        self.installs = Installs(
            self.market, InstallFolder(self.root / "market"), models=models, versions=self.versions,
            artifacts=self.artifacts, grants=CatalogGrants(self.store), clock=self.clock, new_id=new_id,
        )  # fmt: skip

    async def ended(self, install, caller=BOB):
        """The installation when it does not run any more."""
        run = self.installs._runs.get(install.id)
        if run is not None:
            await asyncio.gather(run.task, return_exceptions=True)
        return self.installs.get(caller, install.id)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


async def test_a_search_goes_to_all_hubs_and_passes_over_what_does_not_fit(place):
    place.mirror.add("org/tiny-large", checkpoint(), family="llama", parameters=10_000, downloads=50)
    place.mirror.add("org/tiny-bert", checkpoint(), family="bert", downloads=7)
    found = await place.market.search(Query("tiny"))
    assert [one.repository for one in found.listings] == ["org/tiny-large", "org/tiny-bert", "org/tiny"]
    found = await place.market.search(Query("tiny", family="llama", most=100))
    assert [(one.repository, one.source) for one in found.listings] == [("org/tiny", ADDRESS)]
    found = await place.market.search(Query("tiny", source="http://mirror.test/", limit=1))
    assert [one.repository for one in found.listings] == ["org/tiny-large"]
    with pytest.raises(DoesNotExist, match="There is no hub"):
        await place.market.search(Query(source="http://other.test"))
    for query in (Query(limit=0), Query(least=5, most=3)):
        with pytest.raises(InvalidParameter):
            await place.market.search(query)


async def test_a_hub_that_does_not_answer_is_told_beside_what_the_others_have(place, server):
    server.status = 500
    ill = HuggingFaceMarket(server.address)
    market = Marketplace(lambda: {ADDRESS: place.hub, ill.address: ill}, FolderReader(), place.world.offers)
    found = await market.search(Query("tiny"))
    assert [one.repository for one in found.listings] == ["org/tiny"]
    assert "status 500" in found.problems[0]


@pytest.mark.parametrize(
    ("listing", "query", "is_one"),
    [
        (Listing("", "a", licence="mit"), Query(licence="MIT"), True),
        (Listing("", "a", licence="mit"), Query(licence="apache-2.0"), False),
        (Listing("", "a"), Query(family="llama", least=5), True),
        (Listing("", "a", parameters=4), Query(least=5), False),
    ],
)
def test_what_is_not_told_does_not_count_against_a_model(listing, query, is_one):
    assert matches(listing, query) is is_one


async def test_a_page_tells_files_size_and_how_it_would_do_here_without_bringing_weights(place):
    page = await place.market.page("org/tiny", "main", "", None)
    assert (page.problem, page.access, page.card) == ("", "", "# A tiny model\n")
    assert page.size == sum(len(content) for content in checkpoint().values())
    assert page.facts.parameters == 64
    assert page.forecast.fits
    assert page.forecast.throughput > 0
    assert "model.safetensors" not in place.hub.fetched
    place.world.cluster.memory_of_device = 10
    assert not (await place.market.page("org/tiny", "main", "", None)).forecast.fits


async def test_a_page_says_what_keeps_a_model_from_being_served(place):
    place.hub.add("org/mamba", checkpoint("mamba"))
    assert "Models of type 'mamba'" in (await place.market.page("org/mamba", "main", "", None)).problem
    place.hub.add("org/pickle", {"config.json": b"{}", "pytorch_model.bin": b"x"})
    assert "pickle format only" in (await place.market.page("org/pickle", "main", "", None)).problem
    place.hub.gated.add("org/tiny")
    page = await place.market.page("org/tiny", "main", "", None)
    assert (page.access, page.facts) == ("Accept the licence of org/tiny first.", None)
    with pytest.raises(DoesNotExist):
        await place.market.page("org/none", "main", "", None)


async def test_an_installation_becomes_a_version_that_can_be_served(place):
    begun = await place.installs.begin(BOB, WISH)
    assert begun.state is InstallState.RUNNING
    done = await place.ended(begun)
    assert (done.state, done.version, done.message) == (InstallState.DONE, 1, "")
    assert done.size == done.came == sum(len(content) for content in checkpoint().values())
    version = await place.versions.get(MINE, 1)
    assert (version.creator, version.source) == ("bob", f"{ADDRESS}/org/tiny@main")
    assert (version.facts.task, version.facts.problem) == (Task.CHAT, None)
    assert not (place.root / "market" / begun.id).exists()
    assert (await place.ended(await place.installs.begin(BOB, WISH))).version == 2


async def test_a_cancelled_one_keeps_what_came_and_goes_on(place):
    weights = place.hub.held["model.safetensors"] = threading.Event()
    begun = await place.installs.begin(BOB, WISH)
    assert await asyncio.to_thread(place.hub.reached.wait, 10)
    assert place.installs.get(BOB, begun.id).file == "model.safetensors"
    cancelling = asyncio.ensure_future(place.installs.cancel(BOB, begun.id))
    await asyncio.sleep(0)
    weights.set()
    cancelled = await cancelling
    assert (cancelled.state, cancelled.message) == (InstallState.CANCELLED, "It was cancelled; what has come is kept.")
    place.hub.fetched.clear()
    done = await place.ended(await place.installs.resume(BOB, begun.id))
    assert done.state is InstallState.DONE
    assert place.hub.fetched == ["model.safetensors"]
    with pytest.raises(Conflict, match="nothing to resume"):
        await place.installs.resume(BOB, begun.id)


async def test_one_that_fails_says_why_and_can_be_resumed(place):
    place.hub.gated.add("org/tiny")
    failed = await place.ended(await place.installs.begin(BOB, WISH))
    assert (failed.state, failed.message) == (InstallState.FAILED, "Accept the licence of org/tiny first.")
    place.hub.gated.clear()
    assert (await place.ended(await place.installs.resume(BOB, failed.id))).state is InstallState.DONE


async def test_what_ran_when_the_server_ended_is_resumed(place):
    held = place.hub.held["model.safetensors"] = threading.Event()
    begun = await place.installs.begin(BOB, WISH)
    assert await asyncio.to_thread(place.hub.reached.wait, 10)
    closing = asyncio.ensure_future(place.installs.close())
    await asyncio.sleep(0)
    held.set()
    await closing
    place.server()
    await place.installs.recover()
    assert place.installs.get(BOB, begun.id).state is InstallState.CANCELLED
    assert (await place.ended(await place.installs.resume(BOB, begun.id))).state is InstallState.DONE


async def test_installations_are_their_owners_and_administrators(place):
    begun = await place.installs.begin(ROOT, WISH)
    await place.ended(begun, ROOT)
    assert place.installs.all(BOB) == []
    with pytest.raises(DoesNotExist):
        place.installs.get(BOB, begun.id)
    mine = await place.ended(
        await place.installs.begin(BOB, InstallWish("org/tiny", ModelName("main", "x", "y"), Task.CHAT))
    )
    assert {one.id for one in place.installs.all(ROOT)} == {begun.id, mine.id}
    await place.installs.forget(ROOT, begun.id)
    assert [one.id for one in place.installs.all(ROOT)] == [mine.id]
    with pytest.raises(Conflict, match="does not run"):
        await place.installs.cancel(BOB, mine.id)


async def test_nobody_installs_where_they_may_not(place):
    with pytest.raises(PermissionDenied, match="the system's own"):
        await place.installs.begin(ROOT, InstallWish("org/tiny", ModelName("system", "ai", "tiny"), Task.CHAT))
    with pytest.raises(DoesNotExist, match="There is no hub"):
        await place.installs.begin(BOB, InstallWish("org/tiny", MINE, Task.CHAT, source="http://other.test"))


async def test_the_hubs_own_wire(server, hub):
    server.repositories["org/tiny"] = Repository(checkpoint())
    market = HuggingFaceMarket(server.address)
    listing, snapshot = market.describe("org/tiny", "main")
    assert (listing.repository, listing.licence, snapshot.commit) == ("org/tiny", "mit", COMMIT)
    found = market.search(Query("tiny", "llama", Task.CHAT, "mit", 1, 10))
    assert [one.repository for one in found] == ["org/tiny"]
    assert server.queries[-1] == {
        "filter": ["safetensors", "llama", "license:mit", "conversational"],
        "search": ["tiny"],
        "pipeline_tag": ["text-generation"],
        "num_parameters": ["min:1,max:10"],
        "sort": ["downloads"],
        "limit": ["20"],
        "expand": ["downloads", "gated", "pipeline_tag", "tags", "config", "safetensors", "lastModified"],
    }
    market.check_access(snapshot)
