"""Tries the API with requests that schemathesis makes of the server's own description, `/openapi.json`.

`fuzz.py [--minutes N] [--seed N] [schemathesis' own options]`, beside a server of `with_server.py`, on which it serves
a tiny model first, so that the data plane has something to answer. It fails at a 5xx, at a status, a content type or a
body that is not described, and at an answer without a credential where one is needed. The same seed makes the same
requests, as far as the answers are the same.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from penstock.testing.tiny_llama import version_files

ROOT = Path(__file__).resolve().parents[1]
SCHEMATHESIS = Path(os.environ.get("PENSTOCK_FUZZ", ROOT / ".fuzz")) / "bin" / "st"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
MODEL, ENDPOINT, SPARE = "main.fuzz.tiny", "fuzz", "spare"
REGISTRY = "/api/2.0/mlflow/unity-catalog"
ENDPOINTS = "/api/2.0/serving-endpoints"
ELSEWHERE = "^/api/2.0/marketplace/"
"""What asks hubs on other machines."""
READY_S = 120
REQUEST_S = 120


class Server:
    """The server that is tried."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer; raises urllib.error.HTTPError for one that is an error."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=READY_S) as answer:
            text = answer.read()
        return json.loads(text) if text else {}

    def serve(self) -> None:
        """Registers a tiny model and puts it behind an endpoint; another endpoint is there to be changed."""
        self.call("POST", f"{REGISTRY}/registered-models/create", {"name": MODEL})
        self.call("POST", f"{REGISTRY}/model-versions/create", {"name": MODEL, "source": "here"})
        for path, content in version_files().items():
            self.call("PUT", f"/api/2.0/fs/files/Models/{MODEL.replace('.', '/')}/1/{path}", content)
        self.call("POST", f"{REGISTRY}/model-versions/finalize", {"name": MODEL, "version": "1"})
        band = {"min_provisioned_throughput": 1, "max_provisioned_throughput": 1000}
        entity = {"entity_name": MODEL, "entity_version": "1", "name": "entity", **band}
        self.call("POST", ENDPOINTS, {"name": ENDPOINT, "config": {"served_entities": [entity]}})
        self.call("POST", ENDPOINTS, {"name": SPARE})
        end = time.monotonic() + READY_S
        while (state := self.call("GET", f"{ENDPOINTS}/{ENDPOINT}")["state"])["ready"] != "READY":
            if time.monotonic() > end or state["config_update"] == "UPDATE_FAILED":
                raise SystemExit(f"The endpoint did not become ready: {state}")
            time.sleep(0.5)


def main() -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    given, more = parser.parse_known_args()
    server = Server(os.environ["PENSTOCK_URL"], os.environ["PENSTOCK_TOKEN"])
    server.serve()
    print(f"--seed {given.seed}: {given.minutes:g} minutes of requests", flush=True)
    command = [
        str(SCHEMATHESIS),
        "run",
        f"{server.url}/openapi.json",
        *("--header", f"Authorization: Bearer {server.token}"),
        *("--checks", ",".join(CHECKS)),
        *("--seed", str(given.seed)),
        *("--max-time", str(max(1, round(given.minutes * 60)))),
        *("--request-timeout", str(REQUEST_S)),
        *("--generation-database", "none"),
        *("--suppress-health-check", "all"),
        *("--warnings", "off"),
        *("--exclude-path-regex", ELSEWHERE),
        "--continue-on-failure",
        *more,
    ]
    hooks = {"SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("fuzz_hooks.py"))}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        status = subprocess.run(command, cwd=folder, env={**os.environ, **hooks}, check=False).returncode
    print(f"--seed {given.seed}: ended with status {status}", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
