"""Models and versions: made, finalized, kept while they are served, removed with their files."""

import asyncio
from dataclasses import replace

import pytest
from library import GUIDE, caller

from penstock.control.models import ModelChange
from penstock.control.namespaces import NamespaceChange
from penstock.control.versions import NewVersion
from penstock.domain.catalog import Lineage, VersionStatus
from penstock.domain.endpoint import Config, Endpoint, Outcome
from penstock.domain.errors import AlreadyExists, Conflict, DoesNotExist, InvalidParameter, PermissionDenied
from penstock.domain.model import Task
from penstock.domain.names import ModelName, SchemaName
from penstock.domain.served_entity import ServedEntity
from penstock.domain.version_filter import VersionFilter


async def serve(world, name: str, number: int, outcome: Outcome = Outcome.ACTIVE, *, deleted: bool = False) -> None:
    entity = ServedEntity("e", name, str(number), 0, 100)
    config = Config(1, (entity,), (), Task.CHAT, "ann@x.org", 1)
    endpoint = Endpoint("e" * 32, "guide-endpoint", "ann@x.org", 1, 1, "", False, (), None, config)
    async with world.store.unit() as unit:
        await unit.endpoints.add(endpoint)
        if outcome is not Outcome.PENDING:
            await unit.endpoints.end(endpoint.id, 1, outcome, "", 2)
        if deleted:
            await unit.endpoints.mark_deleted(endpoint.id, 3)


async def test_parents_are_made_on_first_use_by_who_used_them(world):
    await world.models.create(caller("bob@x.org"), GUIDE, "d", (("b", "2"), ("a", "1"), ("a", "3")))
    assert (await world.namespaces.catalog("main")).owner == "bob@x.org"
    assert (await world.namespaces.schema(GUIDE.parent)).creator == "bob@x.org"
    assert (await world.models.get(GUIDE)).tags == (("a", "3"), ("b", "2"))
    with pytest.raises(AlreadyExists, match=r"main\.default\.guide"):
        await world.models.create(caller(), GUIDE, "", ())


async def test_versions_made_at_the_same_time_have_numbers_without_gaps(world):
    await world.models.create(caller(), GUIDE, "", ())
    made = await asyncio.gather(*(world.versions.create(caller(), GUIDE, NewVersion("s")) for _ in range(20)))
    assert sorted(version.number for version in made) == list(range(1, 21))


async def test_a_version_of_no_model_is_refused_and_its_storage_swept(world):
    with pytest.raises(DoesNotExist, match="does not exist"):
        await world.versions.create(caller(), GUIDE, NewVersion("s"))
    await world.clock.advance(3601)
    await world.janitor.step()
    assert world.artifacts.trees == {}


async def test_finalizing_reads_the_files_once_and_says_why_it_cannot_be_served(world):
    version = await world.register()
    await world.put(version, "a")
    done = await world.versions.finalize(GUIDE, 1, "bob@x.org")
    assert (done.status, done.status_message, done.updated_by) == (VersionStatus.READY, "It is a fake.", "bob@x.org")
    assert done.facts.model_type == "x"
    assert len(done.digest) == 64
    assert await world.versions.finalize(GUIDE, 1, "carl@x.org") == done
    assert world.reader.asked == [world.artifacts.local(version.storage)]
    with pytest.raises(Conflict, match="finalized"):
        await world.put(version, "b")


async def test_what_is_served_is_neither_deleted_nor_renamed(world):
    version = await world.register()
    await world.register()
    await serve(world, "MAIN.default.Guide", 1)
    for refused in (
        world.versions.remove(caller(), GUIDE, 1),
        world.models.remove(caller(), GUIDE),
        world.models.change(caller(), GUIDE, ModelChange(name=ModelName("main", "default", "new"))),
        world.namespaces.remove_schema(caller(), GUIDE.parent, force=True),
        world.namespaces.remove_catalog(caller(), "main", force=True),
    ):
        with pytest.raises(Conflict, match="served by endpoint 'guide-endpoint'"):
            await refused
    assert await world.versions.get(GUIDE, 1) == version
    await world.versions.remove(caller(), GUIDE, 2)


@pytest.mark.parametrize(
    ("outcome", "deleted"), [(Outcome.FAILED, False), (Outcome.CANCELED, False), (Outcome.ACTIVE, True)]
)
async def test_what_is_no_longer_served_may_go(world, outcome, deleted):
    await world.register()
    await serve(world, str(GUIDE), 1, outcome, deleted=deleted)
    await world.versions.remove(caller(), GUIDE, 1)


async def test_what_an_update_is_on_the_way_to_is_kept(world):
    await world.register()
    await serve(world, str(GUIDE), 1, Outcome.PENDING)
    with pytest.raises(Conflict):
        await world.versions.remove(caller(), GUIDE, 1)


async def test_removing_a_model_removes_its_files(world):
    for _ in range(2):
        await world.put(await world.register(), "a")
    await world.versions.remove(caller(), GUIDE, 1)
    assert len(world.artifacts.trees) == 1
    await world.models.remove(caller(), GUIDE)
    assert world.artifacts.trees == {}


async def test_a_catalog_with_something_in_it_is_deleted_only_by_force(world):
    await world.register()
    with pytest.raises(Conflict, match="not empty"):
        await world.namespaces.remove_catalog(caller(), "main", force=False)
    with pytest.raises(Conflict, match="not empty"):
        await world.namespaces.remove_schema(caller(), GUIDE.parent, force=False)
    await world.namespaces.remove_catalog(caller(), "main", force=True)
    assert world.artifacts.trees == {}
    assert await world.versions.search(VersionFilter(), None, 10) == []
    with pytest.raises(DoesNotExist):
        await world.namespaces.catalog("main")


async def test_only_owners_and_administrators_destroy(world):
    await world.register()
    other = caller("bob@x.org", "users")
    for refused in (
        world.models.remove(other, GUIDE),
        world.versions.remove(other, GUIDE, 1),
        world.models.change(other, GUIDE, ModelChange(owner="bob@x.org")),
        world.models.change(other, GUIDE, ModelChange(name=ModelName("a", "b", "c"))),
        world.namespaces.change_catalog(other, "main", NamespaceChange(comment="mine")),
        world.namespaces.remove_schema(other, GUIDE.parent, force=True),
    ):
        with pytest.raises(PermissionDenied, match="only its owner"):
            await refused
    assert (await world.models.change(other, GUIDE, ModelChange(description="better"))).description == "better"
    await world.models.remove(caller("root@x.org", "admins"), GUIDE)


async def test_namespaces_are_made_and_changed(world):
    with pytest.raises(DoesNotExist, match="Catalog 'c'"):
        await world.namespaces.create_schema(caller(), SchemaName("c", "s"), "", ())
    await world.namespaces.create_catalog(caller(), "c", "first", ())
    await world.namespaces.create_schema(caller(), SchemaName("c", "s"), "", (("k", "v"),))
    change = NamespaceChange("second", "bob@x.org", (("a", "b"),))
    catalog = await world.namespaces.change_catalog(caller(), "c", change)
    assert (catalog.comment, catalog.owner, catalog.properties) == ("second", "bob@x.org", (("a", "b"),))
    schema = await world.namespaces.change_schema(caller(), SchemaName("c", "s"), replace(change, properties=None))
    assert (schema.comment, schema.owner, schema.properties) == ("second", "bob@x.org", (("k", "v"),))
    assert [found.name for found in await world.namespaces.catalogs("", 10)] == ["c"]
    assert [str(found.name) for found in await world.namespaces.schemas("c", "", 10)] == ["c.s"]


async def test_aliases_point_at_versions_that_exist_and_did_not_fail(world):
    await world.register()
    await world.models.set_alias(GUIDE, "Best", 1)
    assert (await world.models.by_alias(GUIDE, "bEST")).number == 1
    with pytest.raises(DoesNotExist, match="Version 2"):
        await world.models.set_alias(GUIDE, "best", 2)
    with pytest.raises(DoesNotExist, match="no alias 'other'"):
        await world.models.by_alias(GUIDE, "other")
    await world.models.remove_alias(GUIDE, "other")
    await world.clock.advance(2 * 24 * 3600)
    await world.janitor.step()
    with pytest.raises(Conflict, match="registration failed"):
        await world.models.set_alias(GUIDE, "worst", 1)


async def test_tags_are_changed_together(world):
    await world.register()
    assert await world.models.change_tags(GUIDE, 1, (("a", "1"), ("b", "2")), ()) == (("a", "1"), ("b", "2"))
    assert await world.models.change_tags(GUIDE, 1, (("c", "3"),), ("a", "none")) == (("b", "2"), ("c", "3"))
    with pytest.raises(InvalidParameter):
        await world.models.change_tags(GUIDE, None, (("ok", ""), ("", "bad")), ())
    assert (await world.models.get(GUIDE)).tags == ()


async def test_texts_that_a_database_cannot_hold_are_refused(world):
    await world.register()
    for new in (NewVersion("a\0"), NewVersion("a", run_id="\0"), NewVersion("a", lineage=Lineage(model_id="\0"))):
        with pytest.raises(InvalidParameter, match="NUL"):
            await world.versions.create(caller(), GUIDE, new)
    assert (await world.register()).number == 2
