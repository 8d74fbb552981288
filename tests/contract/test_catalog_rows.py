"""What the rows of the catalogue and of uploads promise, in memory and on both databases."""

from dataclasses import replace

import pytest

from penstock.domain.catalog import Catalog, Lineage, ModelVersion, RegisteredModel, Schema, VersionStatus
from penstock.domain.errors import AlreadyExists
from penstock.domain.model import AdapterFacts, ModelFacts, Shape, Task
from penstock.domain.names import ModelName, SchemaName
from penstock.domain.version_filter import VersionFilter
from penstock.ports.catalog_rows import Outcome
from penstock.ports.upload_rows import Upload, UploadState

STAMPS = {"creator": "a@x.org", "created_at": 5, "updated_by": "a@x.org", "updated_at": 5}
FACTS = ModelFacts(
    Task.CHAT, "llama", "LlamaForCausalLM", 10**12, 2 * 10**12, 4096, Shape(2, 8, 16, 2, 1, 4, 99), True, False, None,
    AdapterFacts("main.default.base", 8),
)  # fmt: skip
GUIDE = ModelName("main", "default", "guide")


def catalog(name: str) -> Catalog:
    return Catalog(id=f"id-{name}", name=name, owner="a@x.org", properties=(("k", "v"),), **STAMPS)


def schema(name: SchemaName) -> Schema:
    return Schema(id=f"id-{name}", name=name, owner="a@x.org", comment="c", **STAMPS)


def model(name: ModelName, *tags: tuple[str, str]) -> RegisteredModel:
    return RegisteredModel(id=f"id-{name}", name=name, owner="a@x.org", description="d", tags=tags, **STAMPS)


def version(number: int, name: ModelName = GUIDE, **fields) -> ModelVersion:
    given = {
        "status": VersionStatus.PENDING_REGISTRATION,
        "storage": f"{name}-{number}",
        "source": "models:/m-1",
        "lineage": Lineage("1", "m-1", "", (("DATABRICKS_UC_CONNECTION", "c"),)),
        **STAMPS,
        **fields,
    }
    return ModelVersion(model=str(name), number=number, **given)


async def prepare(unit, *names: ModelName) -> None:
    for name in names or (GUIDE,):
        if not await unit.catalog.catalog(name.catalog):
            await unit.catalog.add_catalog(catalog(name.catalog))
        if not await unit.catalog.schema(name.parent):
            await unit.catalog.add_schema(schema(name.parent))
        await unit.catalog.add_model(model(name, ("team", "water")))


async def add_versions(unit, count: int, name: ModelName = GUIDE) -> None:
    for _ in range(count):
        await unit.catalog.add_version(version(await unit.catalog.next_number(name), name))


async def test_catalogs_are_kept_listed_changed_and_removed(store):
    async with store.unit() as unit:
        for name in ("b", "a-", "a_", "ä"):
            await unit.catalog.add_catalog(catalog(name))
        with pytest.raises(AlreadyExists, match="'b'"):
            await unit.catalog.add_catalog(replace(catalog("b"), id="other"))
        await unit.catalog.save_catalog(replace(catalog("b"), comment="new", properties=()))
    async with store.unit() as unit:
        assert [found.name for found in await unit.catalog.catalogs()] == ["a-", "a_", "b", "ä"]
        assert [found.name for found in await unit.catalog.catalogs(after="a-", limit=2)] == ["a_", "b"]
        assert await unit.catalog.catalog("b") == replace(catalog("b"), comment="new", properties=())
        assert await unit.catalog.catalog("ä") == catalog("ä")
        await unit.catalog.remove_catalog("b")
        assert await unit.catalog.catalog("b") is None


async def test_schemas_are_kept_listed_changed_and_removed(store):
    name, other = SchemaName("c", "s1"), SchemaName("c", "s2")
    async with store.unit() as unit:
        await unit.catalog.add_catalog(catalog("c"))
        await unit.catalog.add_schema(schema(other))
        await unit.catalog.add_schema(schema(name))
        with pytest.raises(AlreadyExists, match=r"c\.s1"):
            await unit.catalog.add_schema(replace(schema(name), id="other"))
        await unit.catalog.save_schema(replace(schema(name), owner="b@x.org"))
        assert [found.name for found in await unit.catalog.schemas("c")] == [name, other]
        assert [found.name for found in await unit.catalog.schemas("c", after="s1")] == [other]
        assert await unit.catalog.schema(name) == replace(schema(name), owner="b@x.org")
        await unit.catalog.remove_schema(name)
        assert await unit.catalog.schema(name) is None


async def test_models_are_listed_by_full_name(store):
    names = [ModelName("c", "s", "b"), ModelName("c", "s", "a"), ModelName("c", "t", "a"), ModelName("d", "s", "a")]
    async with store.unit() as unit:
        await prepare(unit, *names)
        everything = [str(found.name) for found in await unit.catalog.models()]
        assert everything == ["c.s.a", "c.s.b", "c.t.a", "d.s.a"]
        assert [str(found.name) for found in await unit.catalog.models(catalog="c", limit=2)] == ["c.s.a", "c.s.b"]
        assert [str(found.name) for found in await unit.catalog.models(catalog="c", schema="t")] == ["c.t.a"]
        after = await unit.catalog.models(after=ModelName("c", "s", "b"))
        assert [str(found.name) for found in after] == ["c.t.a", "d.s.a"]


async def test_a_model_is_renamed_with_all_that_hangs_on_it(store):
    new = ModelName("main", "default", "atlas")
    async with store.unit() as unit:
        await prepare(unit)
        await add_versions(unit, 1)
        await unit.catalog.set_alias(GUIDE, "champion", 1)
        before = await unit.catalog.model(GUIDE)
        await unit.catalog.save_model(replace(before, name=new, description="x"))
        assert await unit.catalog.model(GUIDE) is None
        assert await unit.catalog.model(new) == replace(before, name=new, description="x")
        assert (await unit.catalog.version(str(new), 1)).aliases == ("champion",)
        await unit.catalog.add_model(replace(model(GUIDE), id="second"))
        with pytest.raises(AlreadyExists, match="atlas"):
            await unit.catalog.save_model(replace(model(GUIDE), id="second", name=new))


async def take_a_number_and_fail(store) -> None:
    async with store.unit() as unit:
        assert await unit.catalog.next_number(GUIDE) == 4
        raise ZeroDivisionError


async def test_numbers_have_no_gaps_and_never_come_back(store):
    async with store.unit() as unit:
        await prepare(unit)
        await add_versions(unit, 3)
    with pytest.raises(ZeroDivisionError):
        await take_a_number_and_fail(store)
    async with store.unit() as unit:
        await unit.catalog.remove_version(str(GUIDE), 3)
        assert await unit.catalog.next_number(GUIDE) == 4
        assert await unit.catalog.next_number(ModelName("main", "default", "none")) is None


async def test_versions_come_newest_first_and_in_pages(store):
    other = ModelName("main", "default", "other")
    async with store.unit() as unit:
        await prepare(unit, GUIDE, other)
        await add_versions(unit, 3)
        await unit.catalog.next_number(other)
        await unit.catalog.add_version(version(1, other, run_id="r1", tags=(("a", "1"),)))
        everything = await unit.catalog.versions(VersionFilter())
        assert [(found.name.model, found.number) for found in everything] == [
            ("guide", 3), ("guide", 2), ("guide", 1), ("other", 1),
        ]  # fmt: skip
        page = await unit.catalog.versions(VersionFilter(), after=(str(GUIDE), 2), limit=2)
        assert page == everything[2:]
        assert await unit.catalog.versions(VersionFilter(model=str(GUIDE)), limit=1) == everything[:1]
        assert await unit.catalog.versions(VersionFilter(run_id="r1")) == everything[3:]
        assert everything[3] == version(1, other, run_id="r1", tags=(("a", "1"),))


async def test_a_version_ends_once(store):
    outcome = Outcome(VersionStatus.READY, "", FACTS, "abc", 9, "b@x.org")
    async with store.unit() as unit:
        await prepare(unit)
        await add_versions(unit, 1)
        assert await unit.catalog.end_version(str(GUIDE), 1, outcome)
        failed = replace(outcome, status=VersionStatus.FAILED_REGISTRATION, facts=None)
        assert not await unit.catalog.end_version(str(GUIDE), 1, failed)
        assert not await unit.catalog.end_version(str(GUIDE), 2, outcome)
        assert await unit.catalog.version(str(GUIDE), 1) == version(
            1, status=VersionStatus.READY, facts=FACTS, digest="abc", updated_at=9, updated_by="b@x.org"
        )


async def test_aliases_move_and_go_with_their_version(store):
    async with store.unit() as unit:
        await prepare(unit)
        await add_versions(unit, 2)
        await unit.catalog.set_alias(GUIDE, "champion", 1)
        await unit.catalog.set_alias(GUIDE, "champion", 2)
        await unit.catalog.set_alias(GUIDE, "old", 1)
        assert (await unit.catalog.model(GUIDE)).aliases == (("champion", 2), ("old", 1))
        await unit.catalog.remove_version(str(GUIDE), 2)
        assert (await unit.catalog.model(GUIDE)).aliases == (("old", 1),)
        await unit.catalog.remove_alias(GUIDE, "old")
        await unit.catalog.remove_alias(GUIDE, "old")
        assert (await unit.catalog.version(str(GUIDE), 1)).aliases == ()


async def test_tags_are_of_a_version_or_of_the_model(store):
    async with store.unit() as unit:
        await prepare(unit)
        await add_versions(unit, 2)
        await unit.catalog.set_tag(GUIDE, None, "team", "power")
        await unit.catalog.set_tag(GUIDE, 2, "b", "1")
        await unit.catalog.set_tag(GUIDE, 2, "a", "1")
        await unit.catalog.set_tag(GUIDE, 2, "a", "2")
        assert (await unit.catalog.model(GUIDE)).tags == (("team", "power"),)
        assert (await unit.catalog.version(str(GUIDE), 2)).tags == (("a", "2"), ("b", "1"))
        assert (await unit.catalog.version(str(GUIDE), 1)).tags == ()
        await unit.catalog.remove_tag(GUIDE, 2, "a")
        await unit.catalog.remove_tag(GUIDE, None, "team")
        await unit.catalog.remove_tag(GUIDE, None, "team")
        assert (await unit.catalog.version(str(GUIDE), 2)).tags == (("b", "1"),)
        assert (await unit.catalog.model(GUIDE)).tags == ()


async def test_a_removed_model_leaves_nothing(store):
    async with store.unit() as unit:
        await prepare(unit)
        await add_versions(unit, 2)
        await unit.catalog.set_alias(GUIDE, "champion", 1)
        await unit.catalog.remove_model(GUIDE)
        assert await unit.catalog.versions(VersionFilter()) == []
        assert await unit.catalog.storages() == frozenset()
        await unit.catalog.add_model(model(GUIDE))
        assert await unit.catalog.next_number(GUIDE) == 1
        assert (await unit.catalog.model(GUIDE)) == model(GUIDE)


async def test_what_is_pending_and_what_must_be_kept(store):
    async with store.unit() as unit:
        await prepare(unit)
        await add_versions(unit, 3)
        await unit.catalog.end_version(str(GUIDE), 1, Outcome(VersionStatus.READY, "", FACTS, "d", 9, "a"))
        failed = Outcome(VersionStatus.FAILED_REGISTRATION, "late", None, "", 9, "a")
        await unit.catalog.end_version(str(GUIDE), 2, failed)
        assert [found.number for found in await unit.catalog.pending(6)] == [3]
        assert await unit.catalog.pending(5) == []
        assert await unit.catalog.storages() == {f"{GUIDE}-1", f"{GUIDE}-3"}


async def test_a_descriptions_change_leaves_the_rest(store):
    async with store.unit() as unit:
        await prepare(unit)
        await add_versions(unit, 1)
        changed = version(1, description="new", updated_at=8, updated_by="b", storage="elsewhere")
        await unit.catalog.save_version(changed)
        assert await unit.catalog.version(str(GUIDE), 1) == replace(changed, storage=f"{GUIDE}-1")


async def test_uploads_end_once_and_are_swept(store):
    first = Upload("s1", "main", "a/b", UploadState.OPEN, 5, 5)
    async with store.unit() as unit:
        await unit.uploads.add(first)
        await unit.uploads.add(replace(first, session="s2"))
        await unit.uploads.touch("s2", 7)
        assert await unit.uploads.get("s1") == first
        assert await unit.uploads.get("s3") is None
        assert [upload.session for upload in await unit.uploads.stale(8)] == ["s1", "s2"]
        assert await unit.uploads.stale(6) == [first]
        assert await unit.uploads.end("s1", UploadState.COMPLETED, 9)
        assert not await unit.uploads.end("s1", UploadState.ABORTED, 10)
        assert await unit.uploads.get("s1") == replace(first, state=UploadState.COMPLETED, updated_at=9)
        await unit.uploads.remove(["s1", "s4"])
        assert await unit.uploads.sessions() == {"s2"}
