"""A small hub that speaks the Hugging Face Hub's wire, as far as downloads go; and checkpoints to put on it."""

import hashlib
import json
import re
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

COMMIT = "c0ffee" * 6 + "abcd"
LARGE = 200
"""Files from so many bytes on are stored apart, with their SHA-256, as large files are there."""


def checkpoint(model_type="llama", **more):
    """The files of a tiny model that can be served."""
    config = {
        "model_type": model_type,
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 8,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "num_hidden_layers": 1,
        "intermediate_size": 16,
        "vocab_size": 32,
        "max_position_embeddings": 64,
    }
    tensor = {"w": {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}}
    header = json.dumps(tensor).encode()
    return {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": b"{}",
        "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}"}).encode(),
        "model.safetensors": struct.pack("<Q", len(header)) + header + bytes(range(256)),
        "README.md": b"# A tiny model\n",
        **more,
    }


def git_name(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """`files` by path; `gate` is the token of somebody who accepted the licence, `private` hides it from others."""

    files: dict
    gate: str = ""
    private: bool = False
    lies: set = field(default_factory=set)
    """Paths of files that come with other contents than was announced."""
    head: str = COMMIT
    """The commit that `main` is. Every other one that is asked for holds the same files."""


class HubServer:
    """Serves `repositories` at `address`; `asked` are the requests, as (method, path, Range)."""

    def __init__(self):
        self.repositories = {}
        self.asked = []
        self.queries = []
        self.status = 0
        """If set, everything is answered with it."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                hub.answer(self, body=True)

            def do_HEAD(self):
                hub.answer(self, body=False)

            def log_message(self, *_args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def ranges(self):
        """What was asked for of files, by path's end."""
        return [
            (path.rpartition("/")[2], ranged)
            for method, path, ranged in self.asked
            if method == "GET" and "/resolve/" in path
        ]

    def answer(self, request, *, body):
        path, _, query = request.path.partition("?")
        self.queries.append(parse_qs(query))
        self.asked.append((request.command, path, request.headers.get("Range", "")))
        if self.status:
            self._send(request, self.status, {}, b"", body=body)
            return
        parts = path.strip("/").split("/")
        if path == "/api/models":
            listed = [self._told(name, one) for name, one in self.repositories.items()]
            self._send(request, 200, {"Content-Type": "application/json"}, json.dumps(listed).encode(), body=body)
            return
        api = parts[0] == "api"
        name = "/".join(parts[2:4] if api else parts[:2])
        repository = self.repositories.get(name)
        revision = next(iter(parts[5:6] if api else parts[3:4]), "")
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if repository is None or (repository.private and not bearer):
            self._send(request, 401, {"X-Error-Code": "RepoNotFound"}, b"", body=body)
        elif re.fullmatch("main|[0-9a-f]{40}", revision) is None:
            self._send(request, 404, {"X-Error-Code": "RevisionNotFound"}, b"", body=body)
        elif api:
            told = self._info(name, repository, revision)
            self._send(request, 200, {"Content-Type": "application/json"}, told, body=body)
        elif repository.gate and bearer != repository.gate:
            self._send(request, 403, {"X-Error-Code": "GatedRepo"}, b"", body=body)
        else:
            self._file(request, repository, "/".join(parts[4:]), body=body)

    def _info(self, name, repository, revision):
        siblings = []
        for path, content in repository.files.items():
            one = {"rfilename": path, "size": len(content), "blobId": git_name(content)}
            if len(content) >= LARGE:
                one["lfs"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 130}
            siblings.append(one)
        told = {**self._told(name, repository), "sha": repository.head if revision == "main" else revision}
        return json.dumps({**told, "siblings": siblings}).encode()

    def _told(self, name, repository):
        gated = "manual" if repository.gate else False
        return {"id": name, "gated": gated, "tags": ["license:mit"], "pipeline_tag": "text-generation"}

    def _file(self, request, repository, path, *, body):
        if path not in repository.files:
            self._send(request, 404, {"X-Error-Code": "EntryNotFound"}, b"", body=body)
            return
        announced = repository.files[path]
        content = bytes(reversed(announced)) if path in repository.lies else announced
        headers = {
            "X-Repo-Commit": COMMIT,
            "ETag": f'"{hashlib.sha256(announced).hexdigest()}"',
            "X-Linked-Size": str(len(announced)),
        }
        ranged = request.headers.get("Range", "")
        if ranged:
            start = int(ranged.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._send(request, 206, headers, content[start:], body=body)
        else:
            self._send(request, 200, headers, content, body=body)

    def _send(self, request, status, headers, content, *, body):
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if body:
            request.wfile.write(content)
