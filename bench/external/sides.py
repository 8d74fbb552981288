"""The upstreams and the gateways in front of them, as processes: started, seen to do what they must, and stopped.

Load and upstreams have one core, the gateways the other; only one gateway is asked at a time.
"""

import json
import os
import secrets
import shutil
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from gateway import (
    ANSWER,
    LOAD_CORE,
    PENSTOCK,
    PROXY,
    QUESTION,
    SERVER_CORE,
    STATIC,
    TOKEN,
    free_port,
    nginx,
    running,
    until_ready,
)

HERE = Path(__file__).resolve().parent
LITELLM = HERE.parents[1] / ".litellm-env" / "bin" / "litellm"
LIMITED = "sk-limited-0123456789"
PLENTY = 1_000_000_000
CHUNKS, RATE = 40, 20.0
WHOLE, STREAMS, ONCE = "constant", "streams", "once"
_STREAM_PROXY = PROXY.replace("proxy_pass", "proxy_buffering off; proxy_pass").replace("engine", "streams")
_OK, _TOO_MANY = 200, 429
_PATIENCE_S = 120.0
_CALM_S, _CALM_PART = 0.3, 0.2


class SideError(Exception):
    """A server does not do what is measured."""


@dataclass(frozen=True)
class Side:
    """Where a side is asked for whole answers and for streams; `pid` is the gateway's, if it is watched."""

    name: str
    whole: str
    streams: str
    pid: int | None = None
    ledger: Path | None = None

    def rss_mb(self) -> float:
        """Resident memory of its processes."""
        return sum(one.memory_info().rss for one in self._processes()) / 1e6

    def cpu_s(self) -> float:
        """Processor seconds of its processes so far."""
        return sum(one.cpu_times().user + one.cpu_times().system for one in self._processes())

    def _processes(self) -> list[psutil.Process]:
        if self.pid is None:
            return []
        root = psutil.Process(self.pid)
        return [root, *root.children(recursive=True)]


def question(model: str, *, stream: bool) -> str:
    """The body that is asked with."""
    return json.dumps({**json.loads(QUESTION), "model": model, **({"stream": True} if stream else {})})


def post(url: str, body: str, token: str = TOKEN) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    sent = urllib.request.Request(url, body.encode(), headers)
    try:
        with urllib.request.urlopen(sent, timeout=_PATIENCE_S) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def upstreams(folder: Path, stack: ExitStack) -> Side:
    """The provider itself: nginx for whole answers, a program of ours for streams."""
    static, streams = free_port(), free_port()
    nginx(stack, folder, "static", STATIC.format(port=static, answer=ANSWER.replace("'", "")), LOAD_CORE)
    program = [sys.executable, str(HERE / "upstream.py"), str(streams), str(CHUNKS), str(RATE)]
    stack.enter_context(running(program, LOAD_CORE, folder / "streams.log"))
    side = Side("direct", _url(static), _url(streams))
    _wait(side)
    return side


def nginx_proxy(folder: Path, stack: ExitStack, direct: Side) -> Side:
    """A plain proxy."""
    whole, streams = free_port(), free_port()
    servers = PROXY.format(port=whole, to=_port(direct.whole)) + _STREAM_PROXY.format(
        port=streams, to=_port(direct.streams)
    )
    nginx(stack, folder, "proxy", servers, SERVER_CORE)
    side = Side("nginx", _url(whole), _url(streams))
    _wait(side)
    return side


def penstock(folder: Path, stack: ExitStack, direct: Side) -> Side:
    """Our own server, with endpoints for both and limits for them."""
    port, data = free_port(), folder / "data"
    command = [str(PENSTOCK), "serve", "--port", str(port), "--data-dir", str(data)]
    environment = {"PENSTOCK_ADMIN_TOKEN": TOKEN, "PENSTOCK_EXTERNAL_ALLOW_PRIVATE_ADDRESSES": "true"}
    server = stack.enter_context(running(command, SERVER_CORE, folder / "penstock.log", **environment))
    base = f"http://127.0.0.1:{port}"
    until_ready(f"{base}/health/ready")
    for model, upstream in ((WHOLE, direct.whole), (STREAMS, direct.streams), (ONCE, direct.whole)):
        status, _, told = post(f"{base}/api/2.0/serving-endpoints", json.dumps(endpoint(model, upstream)))
        if status != _OK:
            raise SideError(f"Penstock does not make the endpoint {model}: HTTP {status}: {told[:500]!r}")
    url = f"{base}/serving-endpoints/chat/completions"
    side = Side("penstock", url, url, server.pid, data / "penstock.db")
    _wait(side)
    _check(side, TOKEN, ONCE)
    return side


def endpoint(model: str, upstream: str) -> dict[str, object]:
    """What an endpoint is made of: an external model of OpenAI's wire, and a limit for every user."""
    plain = {"openai_api_key_plaintext": "sk-upstream", "openai_api_base": upstream.removesuffix("/chat/completions")}
    external = {"name": model, "provider": "openai", "task": "llm/v1/chat", "openai_config": plain}
    limit = {"key": "user", "calls": 1 if model == ONCE else PLENTY, "tokens": PLENTY, "renewal_period": "minute"}
    return {
        "name": model,
        "config": {"served_entities": [{"name": model, "external_model": external}]},
        "ai_gateway": {"rate_limits": [limit]},
    }


def litellm(folder: Path, stack: ExitStack, direct: Side) -> Side:
    """LiteLLM's proxy in its own environment, as its documentation sets it up for production, with one worker."""
    port, home = free_port(), folder / "litellm"
    home.mkdir()
    shutil.copy(HERE / "hooks.py", home / "hooks.py")
    (home / "config.yaml").write_text(json.dumps(litellm_config(direct)))
    environment = {
        "BENCH_TOKEN": TOKEN,
        "BENCH_LIMITED_TOKEN": LIMITED,
        "BENCH_LEDGER": str(home / "ledger.jsonl"),
        "LITELLM_MASTER_KEY": f"sk-{secrets.token_hex(32)}",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HOME": str(home),
        "PYTHONPATH": "",
    }
    command = [str(LITELLM), "--config", str(home / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--num_workers", "1", "--telemetry", "False"]
    server = stack.enter_context(running(command, SERVER_CORE, folder / "litellm.log", **environment))
    until_ready(f"http://127.0.0.1:{port}/health/liveliness", _PATIENCE_S)
    url = f"http://127.0.0.1:{port}/chat/completions"
    side = Side("litellm", url, url, server.pid, home / "ledger.jsonl")
    _wait(side)
    _check(side, LIMITED, WHOLE)
    return side


def litellm_config(direct: Side) -> dict[str, object]:
    """Its configuration; JSON is YAML too."""
    models = [
        {
            "model_name": name,
            "litellm_params": {
                "model": f"openai/{name}",
                "api_base": upstream.removesuffix("/chat/completions"),
                "api_key": "sk-upstream",
            },
        }
        for name, upstream in ((WHOLE, direct.whole), (STREAMS, direct.streams))
    ]
    return {
        "model_list": models,
        "litellm_settings": {"callbacks": ["hooks.ledger"], "set_verbose": False, "request_timeout": 600},
        "general_settings": {"custom_auth": "hooks.key"},
    }


def rows(side: Side) -> int:
    """Completed requests in its ledger."""
    assert side.ledger is not None
    if side.ledger.suffix == ".jsonl":
        return side.ledger.read_bytes().count(b"\n") if side.ledger.exists() else 0
    with sqlite3.connect(f"file:{side.ledger}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM requests WHERE outcome = 'completed'").fetchone()[0])


def settled(side: Side, least: int, limit_s: float = 120.0) -> int:
    """Rows of its ledger once there are so many; raises SideError if they do not come."""
    ends = time.monotonic() + limit_s
    while (found := rows(side)) < least:
        if time.monotonic() > ends:
            raise SideError(f"{least} requests were answered by {side.name}, but its ledger has {found}.")
        time.sleep(0.2)
    return found


def calm(side: Side, limit_s: float = 60.0) -> None:
    """Until it has done what is left of what it was asked: the next one has the same core."""
    if side.pid is None:
        return
    ends, before = time.monotonic() + limit_s, side.cpu_s()
    while time.monotonic() < ends:
        time.sleep(_CALM_S)
        now = side.cpu_s()
        if now - before < _CALM_PART * _CALM_S:
            return
        before = now
    raise SideError(f"{side.name} is still busy {limit_s:.0f} s after its requests.")


def version() -> str:
    """Of LiteLLM, empty if it is not there."""
    found = sorted(LITELLM.parents[1].glob("lib/python*/site-packages/litellm-[0-9]*.dist-info"))
    return found[-1].name.removeprefix("litellm-").removesuffix(".dist-info") if LITELLM.exists() and found else ""


def _check(side: Side, limited: str, model: str) -> None:
    """Raises SideError unless a limit of one call a minute refuses the second."""
    statuses = [post(side.whole, question(model, stream=False), limited)[0] for _ in range(3)]
    if statuses[0] != _OK or _TOO_MANY not in statuses:
        raise SideError(f"A limit of one call a minute of {side.name} answers {statuses}.")


def _wait(side: Side) -> None:
    """Until both kinds of answers come."""
    ends = time.monotonic() + _PATIENCE_S
    for url, body in ((side.whole, question(WHOLE, stream=False)), (side.streams, question(STREAMS, stream=True))):
        while True:
            try:
                status, _, told = post(url, body)
            except OSError as error:
                status, told = 0, str(error).encode()
            if status == _OK:
                break
            if time.monotonic() > ends:
                raise SideError(f"{side.name} answers {status}: {told[:500]!r}")
            time.sleep(0.1)


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/v1/chat/completions"


def _port(url: str) -> int:
    return urlsplit(url).port or 80


def pin() -> None:
    """This process, which is the load, has the load's core."""
    os.sched_setaffinity(0, {int(LOAD_CORE)})
