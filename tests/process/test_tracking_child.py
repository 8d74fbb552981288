"""The program that MLflow's server runs in, with another application in MLflow's place."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from penstock.adapters.tracking import child

APPLICATION = """
import os
async def app(scope, receive, send):
    body = f"{os.getcwd()} {os.nice(0)}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
"""
LIMIT_S = 60


@pytest.fixture
def run(tmp_path: Path):
    (tmp_path / "stand_in.py").write_text(APPLICATION)
    (tmp_path / "work").mkdir()
    started = []

    def start(application: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, child.__file__, application, str(tmp_path / "s"), str(tmp_path / "work")]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()


async def ask(socket: Path) -> str:
    end = time.monotonic() + LIMIT_S
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(socket))) as session:
        while True:
            try:
                async with session.get("http://localhost/") as answer:
                    return await answer.text()
            except aiohttp.ClientError:
                assert time.monotonic() < end
                await asyncio.sleep(0.05)


async def test_it_serves_in_its_folder_and_ends_when_its_parent_is_gone(run, tmp_path: Path):
    process = run("stand_in:app")
    told = await ask(tmp_path / "s")
    assert told == f"{tmp_path / 'work'} {min(os.nice(0) + child.NICENESS, 19)}"
    process.stdin.close()
    assert process.wait(LIMIT_S) == 0


async def test_an_old_socket_is_not_in_the_way(run, tmp_path: Path):
    (tmp_path / "s").touch()
    run("stand_in:app")
    assert await ask(tmp_path / "s")


def test_a_missing_module_has_a_status_of_its_own(run):
    assert run("no_such_module:app").wait(LIMIT_S) == child.NOT_INSTALLED
