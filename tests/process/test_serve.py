"""`penstock serve` as a process: start, stop, refusals."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

PENSTOCK = Path(sys.executable).with_name("penstock")
ADMIN = "dapi-0123456789abcdef"
Start = Callable[..., "Server"]


class Server:
    """A running server; `url` is empty if it ended instead of starting."""

    def __init__(self, folder: Path, *flags: str, **variables: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        command = [PENSTOCK, "serve", "--port", "0", "--data-dir", str(folder / "data"), *flags]
        self.log = folder / f"log-{time.monotonic_ns()}"
        began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env={**environment, **variables}, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.told: list[str] = []
        self.url = ""
        while not self.url and (line := self.process.stdout.readline()):
            self.told.append(line.strip())
            if found := re.search(r"listens on (http://\S+)", line):
                self.url = found.group(1)
        self.seconds = time.monotonic() - began

    def get(self, path: str, token: str | None = None) -> tuple[int, dict]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(30)
        finally:
            self.process.stdout.close()

    @property
    def errors(self) -> str:
        return self.log.read_text()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    servers: list[Server] = []

    def begin(*flags: str, **variables: str) -> Server:
        servers.append(Server(tmp_path, *flags, **variables))
        return servers[-1]

    yield begin
    for server in servers:
        if server.process.returncode is None:
            server.end(signal.SIGKILL)


def test_it_starts_fast_and_small_and_stops_cleanly(start: Start):
    server = start(PENSTOCK_ADMIN_TOKEN=ADMIN)
    assert server.get("/health/live")[0] == 200
    status, body = server.get("/health/ready")
    assert (status, body["status"]) == (200, "ready")
    assert server.get("/api/2.0/preview/scim/v2/Me", ADMIN)[0] == 200
    # Seconds on a machine that others use too, hence not the 2 s that a quiet one shows.
    assert server.seconds < 6
    process = psutil.Process(server.process.pid)
    assert process.memory_info().rss < 200e6
    loaded = {Path(mapping.path).parts[-2:] for mapping in process.memory_maps() if mapping.path.endswith(".so")}
    assert not {part for parts in loaded for part in parts} & {"torch", "libtorch.so", "libopenvino.so"}
    assert server.end() == 0
    assert "Traceback" not in server.errors


def test_the_first_token_is_told_once(start: Start):
    first = start()
    told = [line for line in first.told if "administrator's token" in line]
    token = told[0].split()[-1]
    assert first.get("/api/2.0/token/list", token)[0] == 200
    assert token not in first.errors
    assert first.end() == 0
    second = start()
    assert not [line for line in second.told if "token" in line]
    assert second.get("/api/2.0/token/list", token)[0] == 200
    assert second.end(signal.SIGINT) == 0


def test_a_changed_administrator_token_replaces_the_former(start: Start):
    start(PENSTOCK_ADMIN_TOKEN=ADMIN).end()
    server = start(PENSTOCK_ADMIN_TOKEN=ADMIN + "-new")
    assert server.get("/api/2.0/token/list", ADMIN)[0] == 403
    assert server.get("/api/2.0/token/list", ADMIN + "-new")[0] == 200
    assert server.end() == 0


def test_a_restart_after_kill_needs_no_help(start: Start):
    server = start(PENSTOCK_ADMIN_TOKEN=ADMIN)
    assert server.end(signal.SIGKILL) == -signal.SIGKILL
    again = start(PENSTOCK_ADMIN_TOKEN=ADMIN)
    assert again.get("/health/ready")[0] == 200
    assert again.end() == 0


def test_a_second_server_on_the_same_folder_is_refused(start: Start):
    first = start()
    second = start()
    assert second.end() == 1
    assert f"is in use by another Penstock server (process {first.process.pid})" in second.errors
    assert first.end() == 0


def test_a_second_server_on_the_same_database_is_refused(start: Start, tmp_path: Path):
    first = start()
    second = start("--data-dir", str(tmp_path / "other"), "--database", f"sqlite:///{tmp_path}/data/penstock.db")
    assert second.end() == 1
    assert "in use by another Penstock server" in second.errors
    assert first.end() == 0


def test_a_port_in_use(start: Start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = start("--port", str(port))
        assert server.end() == 1
    assert server.errors == f"Penstock cannot listen on 127.0.0.1:{port}: Address already in use.\n"


@pytest.mark.parametrize(
    ("toml", "variables", "message"),
    [
        ("prot = 1", {}, "'prot' in settings.toml is not a setting of Penstock; see docs/settings.md."),
        ("[gateway]\nmax_body = 1", {}, "'gateway.max_body' in settings.toml is not a setting"),
        ("port = ", {}, "settings.toml is not TOML"),
        ("", {"PENSTOCK_PROT": "1"}, "PENSTOCK_PROT is not a setting"),
        ("", {"PENSTOCK_ADMIN_TOKEN": "hunter2"}, "at least 16 printable ASCII characters"),
        ("", {"PENSTOCK_DATABASE": "mysql://h/d"}, "database must begin with sqlite:// or postgresql://"),
    ],
)
def test_settings_that_are_refused(start: Start, tmp_path: Path, toml, variables, message):
    (tmp_path / "settings.toml").write_text(toml)
    server = start("--config", "settings.toml", **variables)
    assert server.end() == 1
    assert message in server.errors
    assert "hunter2" not in server.errors
    assert "Traceback" not in server.errors


def test_json_log_lines_have_the_request_id_and_no_secret(start: Start):
    server = start("--log-format", "json", PENSTOCK_ADMIN_TOKEN=ADMIN)
    server.get("/api/2.0/token/list", ADMIN)
    server.get("/api/2.0/token/list?access=dapi0123456789abcdef", "wrong-token-value")
    assert server.end() == 0
    lines = [json.loads(line) for line in server.errors.splitlines()]
    mine = [line for line in lines if line["event"] == "request"]
    assert [(line["status"], line["caller"]) for line in mine] == [(200, "admin"), (403, None)]
    assert len({line["request_id"] for line in mine}) == 2
    for secret in (ADMIN, "wrong-token-value", "dapi0123456789abcdef"):
        assert secret not in server.errors


def test_a_running_request_is_drained(start: Start):
    server = start(PENSTOCK_ADMIN_TOKEN=ADMIN)
    host, port = server.url.removeprefix("http://").split(":")
    body = b'{"comment": "late"}'
    with socket.create_connection((host, int(port)), timeout=20) as client:
        head = f"POST /api/2.0/token/create HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
        assert server.get("/health/live")[0] == 200  # the half request has been read by now
        ending = threading.Thread(target=server.end)
        ending.start()
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                break
        client.sendall(body[5:])
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
    ending.join()
    assert server.process.returncode == 0
