"""Uploads, signed addresses, and what the janitor sweeps."""

from dataclasses import replace

import pytest
from library import GUIDE, caller, chunks

from penstock.control.files import GET, PUT
from penstock.domain.artifact_path import ArtifactPath
from penstock.domain.catalog import VersionStatus
from penstock.domain.errors import (
    Conflict,
    DoesNotExist,
    InvalidParameter,
    PathNotFound,
    PermissionDenied,
    TooLarge,
)
from penstock.ports.artifacts import Part

DAY = 24 * 3600


async def test_a_file_larger_than_the_limit_is_refused(world):
    version = await world.register()
    with pytest.raises(TooLarge, match="larger than 1000 bytes"):
        await world.put(version, "a", b"x" * 1001)
    await world.put(version, "a", b"x" * 1000)


async def test_a_path_of_no_version_is_not_found(world):
    await world.register()
    for path in (ArtifactPath(GUIDE, 2, "a"), ArtifactPath(replace(GUIDE, model="x"), 1, "a")):
        with pytest.raises(PathNotFound):
            await world.files.stat(path, directory=False)
        with pytest.raises(PathNotFound):
            await world.files.upload(path, chunks(b""), overwrite=True)


async def test_files_and_directories_are_told_apart(world):
    path = await world.put(await world.register(), "a/b")
    directory = replace(path, path="a")
    assert (await world.files.stat(path, directory=False)).size == 7
    assert (await world.files.stat(directory, directory=True)).is_directory
    for wrong in (
        world.files.stat(path, directory=True),
        world.files.stat(directory, directory=False),
        world.files.delete(path, directory=True),
        world.files.delete(directory, directory=False),
    ):
        with pytest.raises(PathNotFound):
            await wrong
    await world.files.delete(path, directory=False)
    await world.files.delete(directory, directory=True)


async def test_a_ticket_is_good_for_its_verb_until_it_ends(world):
    path = await world.put(await world.register(), "a")
    ticket = await world.files.ticket(PUT, path)
    await world.files.check(PUT, ticket)
    for verb, other in (
        (GET, ticket),
        (PUT, replace(ticket, path=replace(path, path="b"))),
        (PUT, replace(ticket, expires_at=ticket.expires_at + 1)),
        (PUT, replace(ticket, part=1, session="s")),
        (PUT, replace(ticket, signature="")),
    ):
        with pytest.raises(PermissionDenied, match="signature"):
            await world.files.check(verb, other)
    await world.clock.advance(61)
    with pytest.raises(PermissionDenied, match="expired"):
        await world.files.check(PUT, ticket)


async def test_a_ticket_ends_when_the_client_asks_but_no_later_than_the_setting(world):
    path = await world.put(await world.register(), "a")
    now = world.clock.now_ms()
    assert (await world.files.ticket(GET, path, now + 5000)).expires_at == now + 5000
    assert (await world.files.ticket(GET, path, now + 10**9)).expires_at == now + 60_000
    with pytest.raises(InvalidParameter, match="expire_time"):
        await world.files.ticket(GET, path, now)


async def test_a_ticket_is_of_the_version_not_of_what_lies_at_its_path_later(world):
    path = await world.put(await world.register(), "a")
    ticket = await world.files.ticket(PUT, path)
    await world.models.remove(caller(), GUIDE)
    await world.register()
    with pytest.raises(PermissionDenied, match="signature"):
        await world.files.check(PUT, ticket)


async def test_no_ticket_for_what_is_not_there_or_may_not_change(world):
    path = await world.put(await world.register(), "a")
    with pytest.raises(PathNotFound):
        await world.files.ticket(GET, replace(path, path="b"))
    with pytest.raises(InvalidParameter, match="not a file"):
        await world.files.ticket(PUT, replace(path, path=""))
    await world.versions.finalize(GUIDE, 1, "x")
    with pytest.raises(Conflict, match="finalized"):
        await world.files.ticket(PUT, path)
    await world.files.ticket(GET, path)


async def test_a_multipart_upload_from_begin_to_end(world):
    path = replace(await world.put(await world.register(), "a"), path="large")
    session = await world.uploads.begin(path, overwrite=False)
    tickets = await world.uploads.part_tickets(path, session, 1, 2, None)
    assert [ticket.part for ticket in tickets] == [1, 2]
    second = await world.uploads.put_part(path, session, 2, chunks(b"b"))
    first = await world.uploads.put_part(path, session, 1, chunks(b"a"))
    with pytest.raises(InvalidParameter, match="at least one"):
        await world.uploads.complete(path, session, [])
    with pytest.raises(InvalidParameter, match="Part 1"):
        await world.uploads.complete(path, session, [Part(1, second)])
    for _ in range(2):
        await world.uploads.complete(path, session, [Part(1, first), Part(2, second)])
    assert b"".join([block async for block in await world.files.read(path, 0, 2)]) == b"ab"
    assert world.artifacts.parts == {}
    with pytest.raises(Conflict, match="is completed"):
        await world.uploads.put_part(path, session, 3, chunks(b"c"))
    await world.uploads.abort(path, session)
    with pytest.raises(Conflict, match="exists already"):
        await world.uploads.begin(path, overwrite=False)


async def test_a_session_belongs_to_its_path(world):
    path = await world.put(await world.register(), "a")
    session = await world.uploads.begin(path, overwrite=True)
    for other, token in ((replace(path, path="b"), session), (path, "guessed")):
        with pytest.raises(DoesNotExist, match="session_token"):
            await world.uploads.put_part(other, token, 1, chunks(b"x"))
    for first, count in ((0, 1), (1, 0), (1, 1001), (10_000, 2)):
        with pytest.raises(InvalidParameter):
            await world.uploads.part_tickets(path, session, first, count, None)


async def test_an_aborted_upload_takes_no_more(world):
    path = await world.put(await world.register(), "a")
    session = await world.uploads.begin(path, overwrite=True)
    await world.uploads.put_part(path, session, 1, chunks(b"x"))
    for _ in range(2):
        await world.uploads.abort(path, session)
    assert world.artifacts.parts == {}
    with pytest.raises(Conflict, match="is aborted"):
        await world.uploads.put_part(path, session, 1, chunks(b"x"))


async def test_a_version_that_never_came_fails_with_the_reason(world):
    version = await world.register()
    path = await world.put(version, "a")
    session = await world.uploads.begin(path, overwrite=True)
    await world.uploads.put_part(path, session, 1, chunks(b"part"))
    await world.clock.advance(DAY)
    assert await world.janitor.step() == ""
    await world.clock.advance(1)
    assert await world.janitor.step() == "1 versions failed that were not all uploaded, 1 old uploads forgotten"
    failed = await world.versions.get(GUIDE, 1)
    assert failed.status is VersionStatus.FAILED_REGISTRATION
    assert "not all uploaded" in failed.status_message
    assert (world.artifacts.trees, world.artifacts.parts) == ({}, {})
    for refused in (
        world.put(version, "b"),
        world.versions.finalize(GUIDE, 1, "x"),
        world.files.stat(path, directory=False),
    ):
        with pytest.raises(Conflict, match="nothing came for 86400 seconds"):
            await refused
    assert await world.janitor.step() == ""


async def test_a_slow_upload_is_left_alone(world):
    version = await world.register()
    for number in range(5):
        await world.clock.advance(DAY - 60)
        await world.put(version, f"file{number}")
        await world.janitor.step()
    assert (await world.versions.finalize(GUIDE, 1, "x")).status is VersionStatus.READY
    await world.clock.advance(10 * DAY)
    assert await world.janitor.step() == ""
    assert len(world.artifacts.trees) == 1


async def test_a_version_whose_finalizing_died_is_finished(world):
    version = await world.register()
    await world.put(version, "a")
    await world.artifacts.seal(version.storage)
    await world.clock.advance(599)
    assert await world.janitor.step() == ""
    await world.clock.advance(2)
    assert await world.janitor.step() == "1 versions finalized"
    assert (await world.versions.get(GUIDE, 1)).status is VersionStatus.READY


async def test_a_removal_that_died_before_the_files_is_finished(world):
    version = await world.register()
    await world.put(version, "a")
    async with world.store.unit() as unit:
        await unit.catalog.remove_version(str(GUIDE), 1)
    await world.janitor.step()
    assert len(world.artifacts.trees) == 1
    await world.clock.advance(3601)
    assert await world.janitor.step() == "7 bytes freed"
    assert world.artifacts.trees == {}
