"""A Redis server of the tests' own, from the system's package, on a free port of the loopback."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

_START_S = 30.0


class RedisServer:
    """Runs from `start` to `stop`, as often as is wanted; it remembers nothing of the time before."""

    def __init__(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise RuntimeError("Redis is not installed; on Debian: apt-get install redis-server")
        self._program = program
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Starts it, and returns when it answers."""
        folder = self._folder = tempfile.mkdtemp(prefix="penstock-redis-")
        arguments = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        self._process = subprocess.Popen(
            [self._program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        ends_at = time.monotonic() + _START_S
        while not self._answers():
            if time.monotonic() > ends_at or self._process.poll() is not None:
                raise RuntimeError("Redis did not start.")
            time.sleep(0.02)

    def freeze(self) -> None:
        """From now on it answers nobody, and forgets nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Goes on after `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """Ends it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            shutil.rmtree(Path(self._folder), ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
