"""The life of MLflow's server: started when first asked, once, again after it ended, and ended with us."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from penstock.adapters.tracking.child import NOT_INSTALLED
from penstock.adapters.tracking.place import Place, launch_of
from penstock.adapters.tracking.server import MlflowServer
from penstock.domain.errors import EngineFailed, InvalidRequest, Temporary
from penstock.ports.cluster import Process
from penstock.ports.tracking import TrackingRequest
from penstock.testing.clock import FakeClock

HEALTH = TrackingRequest("GET", "/ml/health")


class Stage:
    """A cluster whose processes are servers in this one. `status`: they end at once with it; `slow`: never answer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launches = []
        self.started = asyncio.Event()
        self.running: dict[int, web.AppRunner] = {}
        self.status: int | None = None
        self.slow = False
        self.refuses = False
        self.asked: list[tuple[str, dict, bytes]] = []

    def address(self, replica_id):
        return f"unix:{self.folder / replica_id}.sock"

    async def start(self, launch):
        if self.refuses:
            raise EngineFailed("No such file.")
        self.launches.append(launch)
        self.started.set()
        pid = len(self.launches)
        if self.status is None and not self.slow:
            await self._serve(pid, launch.command[-2])
        return Process(pid, 0.0)

    async def _serve(self, pid, socket):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = self.running[pid] = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, socket).start()

    async def _answer(self, request):
        self.asked.append((f"{request.method} {request.raw_path}", dict(request.headers), await request.read()))
        if request.path == "/ml/long":
            return web.Response(body=b"x" * 1_000_000)
        if request.path == "/ml/broken":
            request.transport.abort()
        return web.Response(text="OK")

    async def exit_code(self, process):
        if self.status is None and (self.slow or process.pid in self.running):
            return None
        return self.status or 0

    async def stop(self, process, grace_s):
        runner = self.running.pop(process.pid, None)
        if runner is not None:
            await runner.cleanup()

    async def tail(self, log, limit):
        return "the end of its log"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


@pytest.fixture
async def server(stage, clock, tmp_path):
    prepared = []

    async def prepare():
        prepared.append(len(stage.launches))

    place = Place("", tmp_path / "mlflow", "sqlite:///x", tmp_path / "artifacts")
    made = MlflowServer(stage, clock, place, prepare=prepare, start_s=30, hint="pip install 'penstock[mlflow]'")
    made.prepared = prepared
    yield made
    await made.close()
    assert not stage.running


async def until_done(task, clock):
    """Passes time as long as it takes: what goes over a socket takes turns of the loop that nobody counts."""
    while not task.done():
        await clock.advance(1)


async def whole(answer):
    return b"".join([chunk async for chunk in answer.chunks()])


async def test_it_is_started_when_it_is_first_asked_and_only_once(server, stage):
    assert stage.launches == []
    answers = await asyncio.gather(*(server.ask(HEALTH) for _ in range(8)))
    assert [await whole(answer) for answer in answers] == [b"OK"] * 8
    assert len(stage.launches) == 1
    assert server.prepared == [0]


async def test_a_request_arrives_as_it_was_asked(server, stage):
    asked = TrackingRequest("POST", "/ml/api/x?a=b%20c", (("content-type", "application/json"),), b"{}")
    assert (await server.ask(asked)).status == 200
    line, headers, body = stage.asked[-1]
    assert (line, body) == ("POST /ml/api/x?a=b%20c", b"{}")
    assert headers["Host"] == "localhost"
    assert "User-Agent" not in headers


async def test_long_answers_come_in_pieces(server):
    pieces = [chunk async for chunk in (await server.ask(TrackingRequest("GET", "/ml/long"))).chunks()]
    assert sum(map(len, pieces)) == 1_000_000
    assert len(pieces) > 2


async def test_an_answer_that_does_not_come_is_temporary(server):
    with pytest.raises(Temporary, match="did not answer"):
        await server.ask(TrackingRequest("POST", "/ml/broken", body=b"{}"))


async def test_one_that_ended_is_started_again(server, stage):
    await server.ask(HEALTH)
    await stage.stop(Process(1, 0.0), 0)
    assert await whole(await server.ask(HEALTH)) == b"OK"
    assert len(stage.launches) == 2


async def test_without_mlflow_the_command_is_told_and_the_next_request_tries_again(server, stage):
    stage.status = NOT_INSTALLED
    with pytest.raises(InvalidRequest, match=r"penstock\[mlflow\]"):
        await server.ask(HEALTH)
    stage.status = None
    assert (await server.ask(HEALTH)).status == 200


async def test_an_interpreter_that_is_not_there_is_told(server, stage):
    stage.refuses = True
    with pytest.raises(InvalidRequest, match="No such file"):
        await server.ask(HEALTH)


async def test_one_that_fails_to_start_is_temporary(server, stage):
    stage.status = 1
    with pytest.raises(Temporary, match="ended with status 1"):
        await server.ask(HEALTH)


async def test_one_that_does_not_become_ready_is_given_up(server, stage, clock):
    stage.slow = True
    asking = asyncio.create_task(server.ask(HEALTH))
    await stage.started.wait()
    await clock.advance(29)
    assert not asking.done()
    await until_done(asking, clock)
    with pytest.raises(Temporary, match="in time"):
        await asking


async def test_who_gives_up_waiting_does_not_stop_the_start(server, stage, clock):
    stage.slow = True
    asking = asyncio.create_task(server.ask(HEALTH))
    await stage.started.wait()
    asking.cancel()
    await asyncio.wait([asking])
    await stage._serve(1, stage.launches[0].command[-2])
    other = asyncio.create_task(server.ask(HEALTH))
    await until_done(other, clock)
    assert (await other).status == 200
    assert len(stage.launches) == 1


async def test_it_may_be_closed_while_it_starts(server, stage, clock):
    stage.slow = True
    asking = asyncio.create_task(server.ask(HEALTH))
    await stage.started.wait()
    await server.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_what_is_not_tracking_is_off_in_its_environment(tmp_path):
    place = Place("/opt/python", tmp_path, "postgresql://u:secret@h/d", tmp_path / "files")
    launch = launch_of(place, "/run/x.sock")
    environment = dict(launch.environment)
    assert environment["MLFLOW_ENABLE_AI_GATEWAY"] == environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] == f"file://{tmp_path}/files"
    assert launch.command[0] == "/opt/python"
    assert launch.stdin_watch
    # others may read a command, but not an environment
    assert "secret" not in " ".join(launch.command)
