"""The server of the demo: a child process on a free port, with a data directory of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

PENSTOCK = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "penstock"
START_S, STOP_S = 60, 60
LOG_LINES = 40
QUICK = {"PENSTOCK_SERVING_PROFILE_BUDGET_S": "15"}  # nobody wants to wait for two digits in a demonstration


class DemoError(Exception):
    """A step did not do what it should; the message says which."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server that the demo started."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    log: Path
    started_in_s: float

    def megabytes(self) -> float | None:
        """The process's resident memory, where the operating system tells."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return None
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))


@contextlib.contextmanager
def running_server(folder: Path, console: Console) -> Iterator[Server]:
    """A server on a free port with an empty data directory, stopped with SIGTERM at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, token, log = f"http://127.0.0.1:{port}", f"dapi{secrets.token_hex(16)}", folder / "server.log"
    command = [PENSTOCK, "serve", "--port", str(port), "--data-dir", folder / "data"]
    start = time.monotonic()
    with log.open("wb") as out:
        # in a session of its own: Ctrl-C is for this program, which then stops the server
        process = subprocess.Popen(
            command,
            env={**QUICK, **os.environ, "PENSTOCK_ADMIN_TOKEN": token},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        await_ready(f"{url}/health/ready", process)
        yield Server(process, url, token, log, time.monotonic() - start)
    except Exception:
        console.print(
            f"\n[dim]The end of the server's log:[/dim]\n{escape(tail(log))}", highlight=False, soft_wrap=True
        )
        raise
    finally:
        stop(process)


def await_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Returns when the server says that it is ready; raises DemoError when it ended or START_S seconds are over."""
    end = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.05)
    if process.poll() is None:
        raise DemoError(f"the server was not ready after {START_S} s")
    raise DemoError(f"the server ended with status {process.returncode}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM; SIGKILL and DemoError if the server does not end well within STOP_S seconds."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise DemoError(f"the server did not stop within {STOP_S} s") from None
    if process.returncode != 0:
        raise DemoError(f"the server stopped with status {process.returncode}")


def tail(log: Path) -> str:
    """The last lines of a file."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
