"""A PostgreSQL server of the tests' own, from the system's package, on a free port of the loopback."""

import asyncio
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import psutil

_TEMPLATE = "template_penstock"


class PostgresServer:
    """Runs from `start` to `stop`; databases made from one template are given out by `fresh`."""

    def __init__(self) -> None:
        self._bin = _programs()
        self._folder = Path(tempfile.mkdtemp(prefix="penstock-postgresql-"))
        self._data = self._folder / "data"
        self._user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        self._port = _free_port()
        self._numbers = itertools.count()

    def start(self) -> None:
        """Makes the data directory and starts the server."""
        if os.getuid() == 0:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync")
        self.resume()

    def resume(self) -> None:
        """Starts the server again after `halt`, as it was."""
        # Durability off: the tests ask what a transaction does, not whether a disk keeps it.
        options = (
            f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder} -c fsync=off"
        )
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self._folder / "log"), "-o", options, "-w", "start")

    def halt(self) -> None:
        """Ends the server and every connection to it; what it holds stays."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "fast", "-w", "stop")

    def freeze(self) -> None:
        """From now on it answers nobody, and closes no connection."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Goes on after `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        master = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        for process in (master, *master.children()):
            process.send_signal(number)

    def stop(self) -> None:
        """Ends the server, if it runs, and removes its files."""
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder)

    def url(self, database: str) -> str:
        """The URL of a database."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def make_template(self) -> str:
        """A database to prepare, whose copies `fresh` gives out; returns its URL."""
        self._query(f"CREATE DATABASE {_TEMPLATE}")
        return self.url(_TEMPLATE)

    def fresh(self) -> str:
        """The URL of a new copy of the template."""
        name = f"test_{next(self._numbers)}"
        self._query(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        return self.url(name)

    def _query(self, statement: str) -> None:
        asyncio.run(self._execute(statement))

    async def _execute(self, statement: str) -> None:
        import asyncpg

        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def _run(self, program: str, *arguments: str) -> None:
        user = self._user if os.getuid() == 0 else None
        done = subprocess.run(
            [self._bin / program, *arguments],
            user=user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=60,
        )
        if done.returncode:
            log = self._folder / "log"
            told = log.read_text() if log.exists() else ""
            raise RuntimeError(f"{program} failed: {done.stdout.decode()}{told}")


def _programs() -> Path:
    """The folder of PostgreSQL's programs: the newest Debian package, or that of initdb on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    program = found[-1] if found else shutil.which("initdb")
    if program is None:
        raise RuntimeError("PostgreSQL is not installed; on Debian: apt-get install postgresql")
    return Path(program).parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
