"""Programs that are run for what they print."""

import asyncio
import signal
import sys

import pytest

from penstock.adapters.asked_program import ERRORS, Printed, ask_program

LONG_S = 60


async def test_what_it_prints_and_how_it_ends_is_told_and_it_sees_only_its_variables():
    code = "import os, sys; print(os.environ['ONE'], 'HOME' in os.environ, sys.stdin.read()); sys.exit('no' * 2000)"
    told = await ask_program(sys.executable, "-c", code, environment={"ONE": "1"}, within_s=LONG_S)
    assert told == Printed(1, "1 False \n", ("no" * 2000 + "\n")[-ERRORS:])


@pytest.fixture
def started(monkeypatch):
    """The processes that were started."""
    found, start = asyncio.Queue(), asyncio.create_subprocess_exec

    async def noted(*command, **given):
        process = await start(*command, **given)
        found.put_nowait(process)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    return found


async def test_it_does_not_outlive_its_time(started):
    with pytest.raises(TimeoutError):
        await ask_program("/bin/sleep", "600", environment={}, within_s=0.01)
    assert started.get_nowait().returncode == -signal.SIGKILL


async def test_it_does_not_outlive_whoever_asked(started):
    asking = asyncio.create_task(ask_program("/bin/sleep", "600", environment={}, within_s=LONG_S))
    process = await started.get()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert process.returncode == -signal.SIGKILL


async def test_what_cannot_be_run_is_an_error():
    with pytest.raises(FileNotFoundError):
        await ask_program("/no/such/program", environment={}, within_s=LONG_S)
