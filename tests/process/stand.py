"""A server process for tests that kill it: always the same port and folder, restarted at will."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import psutil

PENSTOCK = Path(sys.executable).with_name("penstock")
TOKEN = "dapi-0123456789abcdef-storm"
START_S = 40
GONE_S = 15


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Stand:
    """`url` answers while the server runs; `session` is authenticated."""

    def __init__(self, folder, **variables):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.program = [PENSTOCK]
        self.data = folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.variables = {"PENSTOCK_ADMIN_TOKEN": TOKEN, "PENSTOCK_SERVING_PROFILE_BUDGET_S": "5", **variables}
        self.program = [PENSTOCK]
        self.process = None
        self.session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"})

    def _spawn(self):
        command = [*self.program, "serve", "--port", str(self.port), "--data-dir", str(self.data)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **self.variables}, stdout=log, stderr=log)

    async def start(self):
        self._spawn()
        await self.until(self._ready, START_S, "the server to be ready")

    async def _ready(self):
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        try:
            async with self.session.get(f"{self.url}/health/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def until(self, check, limit_s, what):
        end = time.monotonic() + limit_s
        while not await check():
            assert time.monotonic() < end, f"{what} took more than {limit_s} s\n{self.log.read_text()[-3000:]}"
            await asyncio.sleep(0.1)

    def engines(self):
        """The engine processes that work for this folder, whoever their parent is."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            line = " ".join(process.info["cmdline"] or ())
            alive = process.info["status"] != psutil.STATUS_ZOMBIE
            if alive and "penstock_engine" in line and str(self.data) in line:
                found.append(process)
        return found

    async def kill(self):
        """`kill -9`; then the engines must go by themselves."""
        left = self.engines()
        self.process.kill()
        self.process.wait()

        async def gone():
            return not [process for process in left if process.is_running() and process.status() != "zombie"]

        await self.until(gone, GONE_S, "engines of a killed server to end")

    async def stop(self):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, 60)

    async def close(self):
        await self.session.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ledger(self):
        """Request id -> (outcome, prompt tokens, completion tokens) of every row; the server must not run."""
        with sqlite3.connect(self.data / "penstock.db") as database:
            rows = database.execute("SELECT request_id, outcome, prompt_tokens, completion_tokens FROM requests")
            return {row[0]: row[1:] for row in rows}
