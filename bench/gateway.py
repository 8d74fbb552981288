"""What the gateway costs: requests per second and latency through the real server, against nginx as a plain proxy.

Both relay the same constant chat answer of the same static server, in the same run, on one core; the load generator
and the static server have another. Authentication, admission and the ledger are on, as always. Needs nginx and wrk.
"""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent
PENSTOCK = Path(sys.executable).with_name("penstock")
TOKEN = "dapi-bench-0123456789abcdef"
ROUNDS, SECONDS = 3, 5
CONNECTIONS = (1, 16)
SERVER_CORE, LOAD_CORE = "0", "1"
CONTENT = (
    "Provisioned throughput is a band of tokens per second that an endpoint is promised. Penstock sells it in chunks, "
    "measures what a machine can do, and admits requests at one gate per device."
)
ANSWER = json.dumps(
    {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "constant",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": CONTENT},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {"prompt_tokens": 24, "completion_tokens": 40, "total_tokens": 64},
    }
)
QUESTION = json.dumps(
    {
        "model": "constant",
        "messages": [
            {"role": "system", "content": "You answer questions about Penstock."},
            {"role": "user", "content": "What is provisioned throughput?"},
        ],
        "max_tokens": 64,
        "temperature": 0.2,
    }
)
NGINX = """
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/{name}-b; proxy_temp_path {folder}/{name}-p; fastcgi_temp_path {folder}/{name}-f;
  uwsgi_temp_path {folder}/{name}-u; scgi_temp_path {folder}/{name}-s;
  {server}
}}
"""
STATIC = "server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{answer}'; }} }}"
PROXY = """
  upstream engine {{ server 127.0.0.1:{to}; keepalive 64; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
"""
LUA = """
wrk.method = "POST"
wrk.body = [==[{body}]==]
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {token}"
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %f %d\\n", summary.requests, summary.duration, latency:percentile(50),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Run:
    """One load: requests per second, median latency in milliseconds, and how many requests."""

    rps: float
    p50_ms: float
    requests: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], core: str | None, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    pinned = ["taskset", "-c", core, *command] if core else command
    with log.open("wb") as out:
        process = subprocess.Popen(pinned, stdout=out, stderr=out, env={**os.environ, **environment})
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def nginx(stack: ExitStack, folder: Path, name: str, server: str, core: str) -> None:
    config = folder / f"{name}.conf"
    config.write_text(NGINX.format(folder=folder, name=name, server=server))
    stack.enter_context(running(["nginx", "-c", str(config)], core, folder / f"{name}.out"))


def until_ready(url: str, limit_s: float = 60) -> float:
    """Seconds until the URL answers 200."""
    began = time.perf_counter()
    while time.perf_counter() < began + limit_s:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return time.perf_counter() - began
        except (urllib.error.URLError, OSError):
            time.sleep(0.01)
    raise SystemExit(f"{url} was not ready in {limit_s} s")


def start_s(folder: Path) -> float:
    """Seconds from starting `penstock serve` on an empty folder until it is ready."""
    port = free_port()
    command = [str(PENSTOCK), "serve", "--port", str(port), "--data-dir", str(folder / "start")]
    began = time.perf_counter()
    with running(command, None, folder / "start.log", PENSTOCK_ADMIN_TOKEN=TOKEN):
        until_ready(f"http://127.0.0.1:{port}/health/ready")
        return time.perf_counter() - began


def load(url: str, connections: int, script: Path, seconds: int) -> Run:
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (\d+) (\d+) ([\d.]+) (\d+)", told)
    if found is None or int(found[4]):
        raise SystemExit(f"wrk reports errors:\n{told}")
    return Run(int(found[1]) / int(found[2]) * 1e6, float(found[3]) / 1000, int(found[1]))


def measure(urls: dict[str, str], script: Path) -> dict[tuple[str, int], Run]:
    """The median of several rounds, in which the servers take turns."""
    for url in urls.values():
        load(url, 16, script, 2)
    runs: dict[tuple[str, int], list[Run]] = {}
    for _ in range(ROUNDS):
        for connections in CONNECTIONS:
            for name, url in urls.items():
                runs.setdefault((name, connections), []).append(load(url, connections, script, SECONDS))
    return {
        key: Run(
            statistics.median(run.rps for run in all_runs),
            statistics.median(run.p50_ms for run in all_runs),
            sum(run.requests for run in all_runs),
        )
        for key, all_runs in runs.items()
    }


def ledger_rows(database: Path) -> int:
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM requests WHERE outcome = 'completed'").fetchone()[0])


def main() -> None:
    for tool in ("nginx", "wrk", "taskset"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is needed: apt-get install nginx wrk")
    folder = Path(tempfile.mkdtemp(prefix="bench-gateway-"))
    try:
        with ExitStack() as stack:
            figures = bench(folder, stack)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    out = HERE / "out" / "gateway.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(figures, indent=1) + "\n")


def bench(folder: Path, stack: ExitStack) -> dict[str, float]:
    started = start_s(folder)
    static, proxy, port = free_port(), free_port(), free_port()
    nginx(stack, folder, "static", STATIC.format(port=static, answer=ANSWER.replace("'", "")), LOAD_CORE)
    nginx(stack, folder, "proxy", PROXY.format(port=proxy, to=static), SERVER_CORE)
    script = folder / "load.lua"
    script.write_text(LUA.format(body=QUESTION, token=TOKEN))
    base = {"direct": static, "nginx": proxy, "penstock": port}
    urls = {name: f"http://127.0.0.1:{number}/serving-endpoints/chat/completions" for name, number in base.items()}
    arguments = ["serve", "--port", str(port), "--data-dir", str(folder / "data")]
    command = [sys.executable, str(HERE / "gateway_server.py"), *arguments]
    environment = {"PENSTOCK_ADMIN_TOKEN": TOKEN, "BENCH_ENGINE": f"http://127.0.0.1:{static}"}
    with running(command, SERVER_CORE, folder / "server.log", **environment) as server:
        until_ready(f"http://127.0.0.1:{port}/health/ready")
        runs = measure(urls, script)
        rss_mb = psutil.Process(server.pid).memory_info().rss / 1e6
    rows = ledger_rows(folder / "data" / "penstock.db")
    sent = sum(run.requests for (name, _), run in runs.items() if name == "penstock")
    if rows < sent:
        raise SystemExit(f"{sent} requests were answered, but the ledger has {rows}")
    return report(runs, started, rss_mb, rows)


def report(runs: dict[tuple[str, int], Run], started: float, rss_mb: float, rows: int) -> dict[str, float]:
    print(f"{'':24}{'1 connection':>26}{'16 connections':>18}")
    for name in ("direct", "nginx", "penstock"):
        one, many = runs[name, 1], runs[name, 16]
        print(f"{name:24}{one.rps:>10.0f}/s  p50 {one.p50_ms:.3f} ms{many.rps:>14.0f}/s")
    ratios = [runs["penstock", count].rps / runs["nginx", count].rps for count in CONNECTIONS]
    print(f"{'penstock / nginx':24}{ratios[0]:>11.2f}{ratios[1]:>31.2f}")
    added = runs["penstock", 1].p50_ms - runs["direct", 1].p50_ms
    print(f"added at the median, 1 connection: {added:.3f} ms over the static server itself")
    print(f"server: ready {started:.2f} s after its start, {rss_mb:.0f} MB after the load; {rows} ledger rows stored")
    figures = {
        f"{name}_c{count}_rps": round(runs[name, count].rps, 1)
        for name in ("penstock", "nginx")
        for count in CONNECTIONS
    }
    return figures | {
        "penstock_added_p50_ms": round(added, 4),
        "penstock_rss_mb": round(rss_mb, 1),
        "start_s": round(started, 3),
    }


if __name__ == "__main__":
    main()
