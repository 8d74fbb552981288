"""Runs a command beside a fresh server: `with_server.py COMMAND...` with PENSTOCK_URL and PENSTOCK_TOKEN set.

The server has an empty data directory, is stopped afterwards, and its log's end is printed when the command fails.
The exit status is the command's, or 1 if the server did not start or did not stop cleanly.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

PENSTOCK = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "penstock"
START_S = 30
STOP_S = 60
TAIL = 6000
CLIENTS = PENSTOCK.parents[2] / ".clients" / "bin" / "python"
OLDER_CLIENTS = PENSTOCK.parents[2] / ".older" / "bin" / "python"
ENVIRONMENT = {
    "PENSTOCK_SERVING_PROFILE_BUDGET_S": "5",  # profiles matter less here than time
    "PENSTOCK_EXTERNAL_ALLOW_PRIVATE_ADDRESSES": "true",  # providers are played on this machine
    "PENSTOCK_MLFLOW_PYTHON": str(CLIENTS),  # has MLflow, its tracking server included
}


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_ready(url: str, server: subprocess.Popen[bytes]) -> bool:
    """Whether the server said that it is ready, within START_S seconds."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


def stop(server: subprocess.Popen[bytes]) -> bool:
    """SIGTERM, and whether the server ended well."""
    server.send_signal(signal.SIGTERM)
    try:
        return server.wait(STOP_S) == 0
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
        return False


def main() -> int:
    """See the module's docstring."""
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        data = str(Path(folder, "data"))
        url, token, log = f"http://127.0.0.1:{free_port()}", f"dapi{secrets.token_hex(16)}", Path(folder, "server.log")
        environment = {**ENVIRONMENT, **os.environ, "PENSTOCK_ADMIN_TOKEN": token}
        command = [str(PENSTOCK), "serve", "--port", url.rsplit(":", 1)[1], "--data-dir", data]
        with log.open("wb") as out:
            server = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
        status = 1
        try:
            if wait_ready(url, server):
                ours = {"PENSTOCK_URL": url, "PENSTOCK_TOKEN": token, "PENSTOCK_PID": str(server.pid)}
                commands = {
                    "PENSTOCK_COMMAND": str(PENSTOCK),
                    "PENSTOCK_OLDER_CLIENTS": str(OLDER_CLIENTS),
                    "PENSTOCK_DATA_DIR": data,
                }
                clients = {**os.environ, **ours, **commands}
                status = subprocess.run(sys.argv[1:], env=clients, check=False).returncode
        finally:
            clean = stop(server)
        if status or not clean:
            print(log.read_text(errors="replace")[-TAIL:], file=sys.stderr)
        return status or int(not clean)


if __name__ == "__main__":
    sys.exit(main())
