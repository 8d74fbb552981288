"""What every artifact store promises, in memory and in a folder."""

import errno
import os
import shutil

import pytest

from penstock.adapters.artifacts.folder import FolderArtifacts
from penstock.adapters.clock import SystemClock
from penstock.domain.errors import AlreadyExists, Conflict, InvalidParameter, PathNotFound, Temporary
from penstock.ports.artifacts import Part
from penstock.testing.artifacts import FakeArtifacts

STORAGE, SESSION = "storage0", "session0"


@pytest.fixture(params=["fake", "folder"])
async def artifacts(request, tmp_path):
    made = FakeArtifacts(SystemClock()) if request.param == "fake" else FolderArtifacts(tmp_path / "artifacts")
    await made.create(STORAGE)
    return made


async def chunks(*pieces: bytes):
    for piece in pieces:
        yield piece


async def put(artifacts, path, content=b"content", storage=STORAGE, **more):
    return await artifacts.put(storage, path, chunks(content), **more)


async def read(artifacts, path, storage=STORAGE, **more):
    return b"".join([block async for block in artifacts.read(storage, path, **more)])


async def names(artifacts, path="", storage=STORAGE, **more):
    return [entry.path for entry in await artifacts.list(storage, path, **more)]


async def test_a_store_that_works_is_well(artifacts):
    assert await artifacts.ping() is None


async def test_a_folder_that_is_gone_is_told(tmp_path):
    artifacts = FolderArtifacts(tmp_path / "artifacts")
    shutil.rmtree(tmp_path / "artifacts")
    with pytest.raises(Temporary, match="cannot be written to: No such file"):
        await artifacts.ping()


async def test_a_file_is_read_as_it_was_put(artifacts):
    content = bytes(range(256)) * 9000
    entry = await artifacts.put(STORAGE, "a/b/c", chunks(content[:1000], b"", content[1000:]))
    assert (entry.path, entry.is_directory, entry.size) == ("a/b/c", False, len(content))
    assert await read(artifacts, "a/b/c") == content
    assert await read(artifacts, "a/b/c", start=5, length=1_500_000) == content[5:1_500_005]
    assert await read(artifacts, "a/b/c", start=len(content) - 3) == content[-3:]
    assert await artifacts.stat(STORAGE, "a/b/c") == entry


async def test_an_empty_file_is_a_file(artifacts):
    await put(artifacts, "empty", b"")
    assert await read(artifacts, "empty") == b""
    assert (await artifacts.stat(STORAGE, "empty")).size == 0


async def test_a_stream_that_fails_stores_nothing(artifacts):
    async def broken():
        yield b"half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await artifacts.put(STORAGE, "a", broken())
    assert await names(artifacts) == []


async def test_files_are_replaced_only_when_asked(artifacts):
    await put(artifacts, "a", b"old")
    with pytest.raises(AlreadyExists, match="'a' exists already"):
        await put(artifacts, "a", b"new", overwrite=False)
    assert await read(artifacts, "a") == b"old"
    await put(artifacts, "a", b"new")
    await put(artifacts, "a", b"new")
    assert await read(artifacts, "a") == b"new"
    await put(artifacts, "b", b"new", overwrite=False)
    assert await names(artifacts) == ["a", "b"]


async def test_a_path_through_a_file_or_onto_a_directory_is_refused(artifacts):
    await put(artifacts, "a/b")
    with pytest.raises(Conflict, match="is a file"):
        await put(artifacts, "a/b/c")
    with pytest.raises(Conflict, match="a directory is there"):
        await put(artifacts, "a")


@pytest.mark.parametrize("path", ["../a", "/a", "a//b", "a/./b", "a/..", "a\0b", "x" * 256, "a/" * 40 + "a", "\ud800"])
async def test_unsafe_paths_are_refused(artifacts, path):
    for use in (put(artifacts, path), read(artifacts, path), artifacts.make_directory(STORAGE, path)):
        with pytest.raises(InvalidParameter):
            await use


async def test_directories_are_listed_by_name_in_pages(artifacts):
    for path in ("c", "a/x", "b", "a/y/z"):
        await put(artifacts, path)
    entries = await artifacts.list(STORAGE, "")
    assert [(entry.path, entry.is_directory) for entry in entries] == [("a", True), ("b", False), ("c", False)]
    assert await names(artifacts, "a") == ["a/x", "a/y"]
    assert await names(artifacts, after="a", limit=1) == ["b"]
    assert await names(artifacts, after="c") == []
    for missing in ("b", "none", "a/none"):
        with pytest.raises(PathNotFound):
            await artifacts.list(STORAGE, missing)
    for missing in ("none", "b/x"):
        with pytest.raises(PathNotFound):
            await artifacts.stat(STORAGE, missing)
    with pytest.raises(PathNotFound):
        await read(artifacts, "a")


async def test_directories_are_made_and_deleted_when_empty(artifacts):
    await artifacts.make_directory(STORAGE, "a/b")
    await artifacts.make_directory(STORAGE, "a/b")
    await put(artifacts, "a/b/c")
    with pytest.raises(Conflict, match="not empty"):
        await artifacts.delete(STORAGE, "a/b")
    await artifacts.delete(STORAGE, "a/b/c")
    await artifacts.delete(STORAGE, "a/b")
    assert await names(artifacts, "a") == []
    with pytest.raises(PathNotFound):
        await artifacts.delete(STORAGE, "a/b")
    with pytest.raises(Conflict, match="root"):
        await artifacts.delete(STORAGE, "")


async def test_a_sealed_storage_is_immutable_and_read_as_before(artifacts):
    await put(artifacts, "a/b")
    digest = await artifacts.seal(STORAGE)
    assert await artifacts.is_sealed(STORAGE)
    assert await artifacts.seal(STORAGE) == digest
    for use in (
        put(artifacts, "a/b", b"changed"),
        put(artifacts, "new"),
        put(artifacts, "new/deep/path"),
        artifacts.delete(STORAGE, "a/b"),
        artifacts.make_directory(STORAGE, "d"),
    ):
        with pytest.raises(Conflict, match="finalized"):
            await use
    await artifacts.create(STORAGE)
    assert await artifacts.is_sealed(STORAGE)
    assert await names(artifacts, "a") == ["a/b"]
    assert await read(artifacts, "a/b") == b"content"


async def test_the_digest_is_of_paths_and_contents(artifacts):
    digests = []
    for number, files in enumerate([{"a": b"1", "b/c": b"2"}, {"b/c": b"2", "a": b"1"}, {"a": b"2", "b/c": b"1"}]):
        storage = f"storage{number + 1}"
        await artifacts.create(storage)
        await put(artifacts, "a", b"before", storage)
        for path, content in files.items():
            await put(artifacts, path, content, storage)
        digests.append(await artifacts.seal(storage))
    assert digests[0] == digests[1] != digests[2]
    assert len(digests[0]) == 64


async def test_parts_make_a_file_in_order(artifacts):
    second = await artifacts.put_part(SESSION, 2, chunks(b"b", b"c"))
    wrong = await artifacts.put_part(SESSION, 1, chunks(b"x"))
    first = await artifacts.put_part(SESSION, 1, chunks(b"a"))
    assert first != wrong
    parts = [Part(1, first), Part(2, second)]
    for bad in ([Part(2, second), Part(1, first)], [Part(1, first), Part(2, first)], [Part(2, second)]):
        with pytest.raises(InvalidParameter):
            await artifacts.complete(SESSION, bad, STORAGE, "whole")
    assert await names(artifacts) == []
    assert (await artifacts.complete(SESSION, parts, STORAGE, "whole")).size == 3
    await artifacts.complete(SESSION, parts, STORAGE, "whole")
    await artifacts.abort(SESSION)
    await artifacts.abort(SESSION)
    assert await read(artifacts, "whole") == b"abc"
    with pytest.raises(InvalidParameter):
        await artifacts.complete(SESSION, parts, STORAGE, "whole")
    for number in (0, 10_001):
        with pytest.raises(InvalidParameter, match="part_number"):
            await artifacts.put_part(SESSION, number, chunks(b"a"))


async def test_a_removed_storage_is_gone(artifacts):
    await put(artifacts, "a")
    await artifacts.remove(STORAGE)
    await artifacts.remove(STORAGE)
    assert await artifacts.touched_at(STORAGE) == 0
    for use in (put(artifacts, "a"), read(artifacts, "a"), artifacts.list(STORAGE, ""), artifacts.seal(STORAGE)):
        with pytest.raises(PathNotFound):
            await use


async def test_sweeping_takes_what_is_old_and_of_nobody(artifacts):
    for storage in ("storage1", "storage2"):
        await artifacts.create(storage)
        await put(artifacts, "a", storage.encode(), storage)
    await artifacts.seal("storage2")
    etag = await artifacts.put_part(SESSION, 1, chunks(b"part"))
    now = await artifacts.touched_at("storage2") + 60_000
    assert await artifacts.sweep(frozenset(), frozenset(), now - 3_600_000) == 0
    freed = await artifacts.sweep(frozenset({STORAGE, "storage2"}), frozenset({SESSION}), now)
    assert freed == len(b"storage1")
    assert await read(artifacts, "a", "storage2") == b"storage2"
    assert await artifacts.touched_at("storage1") == 0
    await artifacts.complete(SESSION, [Part(1, etag)], STORAGE, "whole")
    assert await artifacts.sweep(frozenset({STORAGE}), frozenset(), now) == len(b"storage2") + len(b"part")
    assert await read(artifacts, "whole") == b"part"


async def test_a_file_of_this_machine_is_taken_over(artifacts, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"weights")
    entry = await artifacts.adopt(STORAGE, "model/weights", source)
    assert (entry.path, entry.size) == ("model/weights", 7)
    source.unlink()
    assert await read(artifacts, "model/weights") == b"weights"
    source.write_bytes(b"others")
    await artifacts.adopt(STORAGE, "model/weights", source)
    assert await read(artifacts, "model/weights") == b"others"
    with pytest.raises(FileNotFoundError):
        await artifacts.adopt(STORAGE, "model/more", tmp_path / "none")
    await artifacts.seal(STORAGE)
    with pytest.raises(Conflict):
        await artifacts.adopt(STORAGE, "model/weights", source)


async def test_what_cannot_be_linked_is_copied(tmp_path, monkeypatch):
    artifacts = FolderArtifacts(tmp_path / "artifacts")
    await artifacts.create(STORAGE)
    source, link = tmp_path / "source", os.link
    source.write_bytes(b"weights")

    def elsewhere(one, other, **more):
        if one == source:
            raise OSError(errno.EXDEV, "another file system")
        link(one, other, **more)

    monkeypatch.setattr(os, "link", elsewhere)
    await artifacts.adopt(STORAGE, "weights", source)
    assert await read(artifacts, "weights") == b"weights"
    assert source.stat().st_mode & 0o200
