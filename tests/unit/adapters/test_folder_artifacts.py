"""What only the folder promises: one copy per content, no links followed, and nothing lost however it dies."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from penstock.adapters.artifacts.folder import FolderArtifacts
from penstock.domain.errors import InvalidParameter, PathNotFound, QuotaExceeded
from penstock.ports.artifacts import Part

STORAGE, OTHER, SESSION = "storage0", "storage1", "session0"
FAR = 1 << 50


async def chunks(*pieces: bytes):
    for piece in pieces:
        yield piece


@pytest.fixture
async def artifacts(tmp_path):
    made = FolderArtifacts(tmp_path / "root")
    await made.create(STORAGE)
    await made.create(OTHER)
    return made


def blobs(folder: Path) -> list[Path]:
    return [path for path in (folder / "root" / "blobs").rglob("*") if path.is_file()]


async def contents(artifacts, storage=STORAGE) -> dict[str, bytes]:
    found = {}
    for entry in await artifacts.list(storage, ""):
        found[entry.path] = b"".join([block async for block in artifacts.read(storage, entry.path)])
    return found


async def test_equal_contents_are_kept_once_and_go_with_the_last_version(artifacts, tmp_path):
    for storage, path in ((STORAGE, "a"), (STORAGE, "b/c"), (OTHER, "d")):
        await artifacts.put(storage, path, chunks(b"same"))
    etag = await artifacts.put_part(SESSION, 1, chunks(b"same"))
    await artifacts.complete(SESSION, [Part(1, etag)], OTHER, "e")
    [blob] = blobs(tmp_path)
    assert blob.name == hashlib.sha256(b"same").hexdigest()
    assert blob.stat().st_nlink == 5
    assert blob.stat().st_mode & 0o777 == 0o400
    await artifacts.seal(STORAGE)
    await artifacts.remove(STORAGE)
    await artifacts.sweep(frozenset({OTHER}), frozenset(), FAR)
    assert await contents(artifacts, OTHER) == {"d": b"same", "e": b"same"}
    await artifacts.remove(OTHER)
    assert await artifacts.sweep(frozenset(), frozenset(), FAR) == len(b"same")
    assert blobs(tmp_path) == []


async def test_local_is_a_plain_directory(artifacts):
    await artifacts.put(STORAGE, "model/config.json", chunks(b"{}"))
    await artifacts.seal(STORAGE)
    directory = artifacts.local(STORAGE)
    assert [path.relative_to(directory).as_posix() for path in directory.rglob("*")] == ["model", "model/config.json"]
    assert not (directory / "model" / "config.json").is_symlink()


async def test_links_lead_nowhere(artifacts, tmp_path):
    (tmp_path / "secret").write_text("s")
    files = tmp_path / "root" / "open" / STORAGE / "files"
    (files / "link").symlink_to(tmp_path / "secret")
    (files / "folder").symlink_to(tmp_path)
    assert await contents(artifacts) == {}
    for path in ("link", "folder/secret"):
        with pytest.raises(PathNotFound):
            await artifacts.stat(STORAGE, path)
        with pytest.raises(PathNotFound):
            await anext(artifacts.read(STORAGE, path))


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", "x" * 200])
async def test_storages_and_sessions_are_plain_names(artifacts, name):
    for use in (artifacts.create(name), artifacts.put_part(name, 1, chunks(b"a")), artifacts.abort(name)):
        with pytest.raises(InvalidParameter):
            await use


async def test_a_damaged_content_is_not_linked_again(artifacts, tmp_path):
    await artifacts.put(STORAGE, "a", chunks(b"whole"))
    [blob] = blobs(tmp_path)
    blob.chmod(0o600)
    blob.write_bytes(b"cut")
    await artifacts.put(OTHER, "a", chunks(b"whole"))
    assert await contents(artifacts, OTHER) == {"a": b"whole"}


async def test_a_full_disk_is_told_and_leaves_nothing(artifacts, tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(QuotaExceeded, match="disk space"):
            await artifacts.put(STORAGE, "a", chunks(b"content"))
    assert list((tmp_path / "root" / "incoming").iterdir()) == []


async def test_many_uploads_of_the_same_content_and_a_sweeper_get_along(artifacts):
    async def upload(number: int) -> None:
        await artifacts.put(STORAGE, f"d{number % 3}/f{number}", chunks(b"same"))
        await artifacts.delete(STORAGE, f"d{number % 3}/f{number}")
        await artifacts.put(OTHER, f"f{number}", chunks(b"same"))

    async def sweep() -> None:
        for _ in range(20):
            await artifacts.sweep(frozenset({STORAGE, OTHER}), frozenset(), 0)

    await asyncio.gather(*(upload(number) for number in range(20)), sweep())
    assert await contents(artifacts, OTHER) == {f"f{number}": b"same" for number in range(20)}


class Killed(BaseException):
    """The process ends here."""


STEPS = ("link", "fsync", "utime", "replace", "rename", "mkdir", "unlink", "write")


class Killer:
    """Ends the process before its n-th step that changes the disk; the steps after do nothing, as nobody runs them."""

    def __init__(self, monkeypatch, at: int) -> None:
        self.left = at
        for name in STEPS:
            for home in (os, Path):
                if hasattr(home, name):
                    monkeypatch.setattr(home, name, self._guarded(getattr(home, name)))

    def _guarded(self, real):
        def step(*given, **named):
            if self.left <= 0:
                raise Killed
            self.left -= 1
            return real(*given, **named)

        return step


async def story(artifacts) -> None:
    await artifacts.put(STORAGE, "a", chunks(b"new"))
    await artifacts.put(STORAGE, "d/b", chunks(b"other"))
    etag = await artifacts.put_part(SESSION, 1, chunks(b"part"))
    await artifacts.complete(SESSION, [Part(1, etag)], STORAGE, "whole")
    await artifacts.abort(SESSION)
    await artifacts.seal(STORAGE)


async def test_killed_at_any_step_it_is_whole_and_can_be_done_again(tmp_path, monkeypatch):
    expected = None
    for at in range(1000):
        root = tmp_path / str(at)
        before = FolderArtifacts(root)
        await before.create(STORAGE)
        await before.put(STORAGE, "a", chunks(b"old"))
        with monkeypatch.context() as patch:
            killer = Killer(patch, at)
            finished = True
            try:
                await story(before)
            except Killed:
                finished = False
        artifacts = FolderArtifacts(root)
        found = {entry.path for entry in await artifacts.list(STORAGE, "")} - {"d"}
        assert found <= {"a", "whole"}
        old = b"".join([block async for block in artifacts.read(STORAGE, "a")])
        assert old in {b"old", b"new"}
        await artifacts.sweep(frozenset({STORAGE}), frozenset({SESSION}), FAR)
        if not await artifacts.is_sealed(STORAGE):
            await story(artifacts)
        digest = await artifacts.seal(STORAGE)
        expected = expected or digest
        assert digest == expected
        directory = artifacts.local(STORAGE)
        files = {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}
        assert files == {"a": b"new", "d/b": b"other", "whole": b"part"}
        await artifacts.sweep(frozenset({STORAGE}), frozenset(), FAR)
        assert [p for name in ("incoming", "parts", "trash", "open") for p in (root / name).iterdir()] == []
        assert len([p for p in (root / "blobs").rglob("*") if p.is_file()]) == 3
        if finished:
            assert killer.left >= 0
            assert at > 30
            return
    pytest.fail("the story never ended")
