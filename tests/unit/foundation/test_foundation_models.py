"""What came to the shelf is in the catalogue and served; what is taken away goes."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hub_server import checkpoint

from penstock.adapters.artifacts.folder import FolderArtifacts
from penstock.adapters.foundation.shelf import FolderShelf
from penstock.adapters.models.reader import FolderReader
from penstock.control.configurations import Configurations
from penstock.control.endpoint_wishes import ConfigWish, EndpointWish, EntityWish
from penstock.control.foundation_models import FoundationModels
from penstock.control.grants import CatalogGrants
from penstock.control.models import ModelChange, Models
from penstock.control.namespaces import NamespaceChange, Namespaces
from penstock.control.pulls import Pulls, Watch
from penstock.control.versions import Versions
from penstock.domain.access import ADMINS, USERS, Caller, PermissionLevel, Principal, PrincipalKind, Scope
from penstock.domain.errors import DoesNotExist, InvalidParameter, PermissionDenied
from penstock.domain.foundation import FoundationModel, Lifecycle, foundation_of
from penstock.domain.grant import GrantChange, Privilege
from penstock.domain.model import Task
from penstock.domain.names import ModelName, SchemaName
from penstock.domain.quota import Quota
from penstock.testing.clock import FakeClock
from penstock.testing.serving import World, add_model
from penstock.testing.store import FakeStore

ROOT = Caller(Principal("1", "root", "Root", PrincipalKind.USER, frozenset({ADMINS, USERS})), Scope.ALL_APIS, "t1")
BOB = Caller(Principal("2", "bob", "Bob", PrincipalKind.USER, frozenset({USERS})), Scope.ALL_APIS, "t2")
TINY = ModelName("system", "ai", "tiny")


def model(name="tiny", **more):
    given = {
        "display_name": name.title(),
        "repository": f"org/{name}",
        "family": "llama",
        "task": Task.CHAT,
        "context": 64,
        "licence": "mit",
        "endpoint": f"databricks-{name}",
        "input_price": Decimal(1),
        "output_price": Decimal(2),
        "quota": Quota(10, 1000, 100),
    }
    return FoundationModel(name=name, **given | more)


class Place:
    """The server's side and the command's, over one shelf."""

    def __init__(self, root, *models):
        self.clock = FakeClock()
        self.store = FakeStore()
        self.root = root
        self.foundation = foundation_of(models or [model(), model("base", base=True, endpoint=""), model("other")])
        self.shelf = FolderShelf(root / "shelf")
        self.pulls = Pulls(self.foundation, self.shelf, lambda: None, self.clock)
        self.artifacts = FolderArtifacts(root / "artifacts")
        self.world = World(self.store, self.clock)
        self.versions = Versions(self.store, self.clock, self.artifacts, FolderReader())
        self.hinted = []
        self.server()

    def server(self):
        self.models = FoundationModels(
            self.store,
            self.clock,
            self.shelf,
            self.foundation,
            versions=self.versions,
            artifacts=self.artifacts,
            hint=self.hinted.append,
        )

    def pull(self, name="tiny", folder="mine", **files):
        place = self.root / folder
        place.mkdir(exist_ok=True)
        for path, content in checkpoint(**files).items():
            (place / path).write_bytes(content)
        self.pulls.pull(name, Watch(lambda *_: None, lambda _: None, lambda _: None), folder=place)


@pytest.fixture
async def place(tmp_path):
    made = Place(tmp_path)
    await made.models.prepare()
    return made


async def test_a_model_that_came_is_a_version_for_everybody_and_has_an_endpoint(place):
    place.pull()
    assert await place.models.step() == (
        "version 1 of model 'system.ai.tiny' is here; "
        "endpoint databricks-tiny serves version 1 of model 'system.ai.tiny'"
    )
    version = await place.versions.get(TINY, 1)
    assert version.creator == "System"
    assert version.source.startswith(f"folder:{place.root / 'mine'}@")
    assert version.facts.problem is None
    assert (place.artifacts.local(version.storage) / "model" / "config.json").is_file()
    assert list(place.shelf.arrived("tiny")) == []
    await CatalogGrants(place.store).check(BOB, TINY, Privilege.EXECUTE)
    view = await place.world.endpoints.get(BOB, "databricks-tiny")
    assert view.level is PermissionLevel.CAN_QUERY
    assert (view.endpoint.ready, view.endpoint.config_update, view.endpoint.task) == (
        "READY",
        "NOT_UPDATING",
        Task.CHAT,
    )
    assert view.config.statuses["databricks-tiny"].message == "Scaled to zero."
    assert place.hinted == [view.endpoint.id]
    assert await place.models.step() == ""


async def test_it_is_listed_first_and_nobody_changes_or_deletes_it(place):
    await add_model(place.store)
    await place.world.endpoints.create(ROOT, EndpointWish("a-guide", ConfigWish((_entity("main.default.guide"),))))
    place.pull()
    await place.models.step()
    listed = [view.endpoint.name for view in await place.world.endpoints.list(ROOT)]
    assert listed == ["databricks-tiny", "a-guide"]
    wish = ConfigWish((_entity("main.default.guide"),))
    for attempt in (
        place.world.endpoints.delete(ROOT, "databricks-tiny"),
        place.world.endpoints.update(ROOT, "databricks-tiny", wish),
        place.world.endpoints.patch_tags(ROOT, "databricks-tiny", [("a", "b")], []),
        place.world.settings.stop(ROOT, "databricks-tiny"),
    ):
        with pytest.raises(PermissionDenied, match="is the system's"):
            await attempt


async def test_it_starts_when_it_is_asked_and_takes_nothing_before(place):
    place.pull()
    await place.models.step()
    world, name = place.world, "databricks-tiny"
    endpoint_id = (await world.endpoints.get(ROOT, name)).endpoint.id
    await world.reconciler.survey()
    await world.reconciler.step(endpoint_id)
    route = world.table.of(name)
    assert (route.pay_per_token, route.entities[0].scales_to_zero, route.entities[0].replicas) == (True, True, ())
    assert not world.cluster.runs
    assert (route.entities[0].sale.minimum, route.entities[0].sale.maximum) == (0, 0)
    world.reconciler.ask(endpoint_id, name)
    await world.reconciler.step(endpoint_id)
    async with place.store.unit() as unit:
        assert [one.entity_name for one in await unit.replicas.live()] == [str(TINY)]
    await world.reconciler.close()


async def test_another_revision_is_the_next_version_and_takes_over(place):
    place.pull()
    await place.models.step()
    place.pull(folder="newer", **{"README.md": b"newer"})
    assert "version 2 of model 'system.ai.tiny'" in await place.models.step()
    view = await place.world.endpoints.get(ROOT, "databricks-tiny")
    assert view.endpoint.active.version == 2
    assert view.endpoint.active.entities[0].entity_version == "2"


async def test_what_cannot_be_served_says_why_and_has_no_endpoint(place):
    place.pull(model_type="mamba")
    assert "Models of type 'mamba' cannot be served" in await place.models.step()
    with pytest.raises(DoesNotExist):
        await place.world.endpoints.get(ROOT, "databricks-tiny")


async def test_a_model_that_is_taken_away_goes_with_its_endpoint_and_files(place):
    place.pull()
    await place.models.step()
    storage = (await place.versions.get(TINY, 1)).storage
    place.pulls.remove("tiny")
    assert await place.models.step() == "endpoint databricks-tiny is gone; system.ai.tiny is gone"
    assert await place.world.endpoints.list(ROOT) == []
    assert not place.artifacts.local(storage).exists()
    with pytest.raises(DoesNotExist):
        await place.versions.get(TINY, 1)
    assert await place.models.step() == ""


async def test_a_model_that_somebody_serves_stays_until_they_do_not(place):
    place.pull()
    await place.models.step()
    await place.world.endpoints.create(ROOT, EndpointWish("mine", ConfigWish((_entity(str(TINY)),))))
    place.pulls.remove("tiny")
    assert await place.models.step() == "endpoint databricks-tiny is gone"
    assert (await place.versions.get(TINY, 1)).number == 1
    await place.world.endpoints.delete(ROOT, "mine")
    assert await place.models.step() == "system.ai.tiny is gone"


async def test_a_server_that_died_in_between_begins_anew(place, monkeypatch):
    place.pull()

    async def dies(*_):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(place.versions, "finalize", dies)
        with pytest.raises(RuntimeError):
            await place.models.step()
    place.server()
    assert "endpoint databricks-tiny serves version 2" in await place.models.step()


async def test_a_version_says_which_commit_it_is(place):
    place.pull()
    mark = replace(place.shelf.marks()["tiny"], revision="main", commit="c0ffee")
    place.shelf.marks = lambda: {"tiny": mark}
    await place.models.step()
    assert (await place.versions.get(TINY, 1)).tags == (("commit", "c0ffee"), ("revision", "main"))


async def test_a_deprecated_model_is_served_and_says_so_with_the_next_server(place):
    place.pull()
    await place.models.step()
    ending = model(lifecycle=Lifecycle.DEPRECATED, ends_on="2027-01-02", replacement="other")
    place.foundation = foundation_of([ending, model("other")])
    place.server()
    assert await place.models.step() == ""
    (view,) = await place.world.endpoints.list(BOB)
    assert (view.endpoint.name, view.endpoint.ready) == ("databricks-tiny", "READY")
    assert "Tiny is deprecated and will be retired on 2027-01-02. Use 'databricks-other'" in view.endpoint.description


async def test_a_retired_model_loses_its_endpoint_with_the_next_server(place):
    place.pull()
    await place.models.step()
    retired = model(lifecycle=Lifecycle.RETIRED, ends_on="2026-01-01")
    place.foundation = foundation_of([retired])
    place.server()
    assert await place.models.step() == "endpoint databricks-tiny is gone"
    assert (await place.versions.get(TINY, 1)).number == 1


async def test_base_models_are_not_served_from_here(place):
    place.pull("base", folder="base")
    await place.models.step()
    signs = place.foundation.signs()
    configurations = Configurations(
        place.store, place.world.offers, place.world.externals, place.clock, signs.undeployable
    )
    with pytest.raises(InvalidParameter, match=r"system\.ai\.base is a base model"):
        await configurations.make(ROOT, ConfigWish((_entity("System.AI.Base"),)), version=1)


async def test_nobody_changes_the_systems_catalog(place):
    place.pull()
    await place.models.step()
    namespaces = Namespaces(place.store, place.clock, place.artifacts)
    models, grants = Models(place.store, place.clock, place.artifacts), CatalogGrants(place.store)
    elsewhere = ModelName("main", "default", "mine")
    for attempt in (
        namespaces.create_schema(ROOT, SchemaName("system", "mine"), "", ()),
        namespaces.change_catalog(ROOT, "system", NamespaceChange(comment="x")),
        namespaces.remove_catalog(ROOT, "system", force=True),
        namespaces.change_schema(ROOT, SchemaName("system", "ai"), NamespaceChange(comment="x")),
        namespaces.remove_schema(ROOT, SchemaName("system", "ai"), force=True),
        models.create(ROOT, ModelName("system", "ai", "mine"), "", ()),
        models.change(ROOT, TINY, ModelChange(name=elsewhere)),
        models.change(ROOT, TINY, ModelChange(description="x")),
        models.remove(ROOT, TINY),
        models.set_alias(TINY, "best", 1),
        models.change_tags(TINY, None, [("a", "b")], []),
        place.versions.describe(ROOT, TINY, 1, "x"),
        place.versions.remove(ROOT, TINY, 1),
        grants.change(ROOT, "system", [GrantChange("bob", frozenset({Privilege.MODIFY}), frozenset())]),
    ):
        with pytest.raises(PermissionDenied, match="the system's own"):
            await attempt
    for privilege in (Privilege.MODIFY, Privilege.APPLY_TAG):
        with pytest.raises(PermissionDenied, match=f"does not have {privilege}"):
            await grants.check(ROOT, TINY, privilege)
    with pytest.raises(PermissionDenied, match="CREATE_SCHEMA"):
        await grants.check_create(ROOT, SchemaName("system", "mine"))


def _entity(name):
    return EntityWish(name, "1", minimum=0, maximum=100)
