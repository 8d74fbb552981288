"""Files of runs and logged models, by either address, and that the janitor leaves them alone."""

import pytest
from library import chunks

from penstock.control.files import GET, PUT
from penstock.domain.errors import DoesNotExist, InvalidParameter, PathNotFound
from penstock.domain.tracking_path import parse_artifact, parse_file
from penstock.ports.artifacts import Part

DAY = 24 * 3600
RUN = "/WorkspaceInternal/Mlflow/Artifacts/7/Runs/r1/artifacts"


async def read(world, path):
    return b"".join([chunk async for chunk in await world.files.read(path, 0, 1000)])


async def test_what_came_by_one_address_is_found_by_the_other(world):
    await world.files.upload(parse_file(f"{RUN}/a.txt"), chunks(b"one", b"two"), overwrite=True)
    same = parse_artifact("7/r1/artifacts/a.txt")
    assert await read(world, same) == b"onetwo"
    await world.files.upload(same, chunks(b"again"), overwrite=True)
    assert await read(world, parse_file(f"{RUN}/a.txt")) == b"again"


async def test_a_large_file_comes_in_parts_by_signed_addresses(world):
    path = parse_file(f"{RUN}/weights")
    session = await world.uploads.begin(path, overwrite=True)
    ticket = (await world.uploads.part_tickets(path, session, 1, 1, None))[0]
    await world.files.check(PUT, ticket)
    etag = await world.uploads.put_part(path, session, 1, chunks(b"half"))
    await world.uploads.complete(path, session, [Part(1, etag)])
    await world.files.check(GET, await world.files.ticket(GET, path))
    assert await read(world, path) == b"half"


async def test_a_session_is_of_one_path(world):
    session = await world.uploads.begin(parse_file(f"{RUN}/a"), overwrite=True)
    with pytest.raises(DoesNotExist):
        await world.uploads.put_part(parse_file(f"{RUN}/b"), session, 1, chunks(b"x"))


async def test_the_janitor_leaves_them_alone(world):
    await world.files.upload(parse_file(f"{RUN}/a"), chunks(b"x"), overwrite=True)
    await world.clock.advance(40 * DAY)
    await world.janitor.step()
    assert await read(world, parse_file(f"{RUN}/a")) == b"x"


async def test_a_directory_is_deleted_with_what_is_in_it(world):
    for name in ("a/b/c", "a/d", "e"):
        await world.files.upload(parse_artifact(f"7/r1/{name}"), chunks(b"x"), overwrite=True)
    await world.files.delete_tree(parse_artifact("7/r1/a"))
    left = await world.files.list(parse_artifact("7/r1"), "", 10)
    assert [entry.path for entry in left] == ["7/r1/e"]
    with pytest.raises(PathNotFound):
        await world.files.delete_tree(parse_artifact("7/r1/a"))
    with pytest.raises(InvalidParameter):
        await world.files.delete_tree(parse_artifact(""))
