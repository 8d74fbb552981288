"""Vendors' servers, played: Anthropic's Messages API and Cohere's, as their references say them.

A model `busy-...` is always out of quota, and `cut-...` breaks off in the middle of a stream. Who offers tools is asked
to call one, and told its result.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "vendor-key-1"
PROMPT, ANSWER = 12, 5
ARGUMENTS = {"city": "Rome"}


class Vendor(BaseHTTPRequestHandler):
    """What both have in common. `server.got` are the requests, as (path, body)."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.got.append((self.path, asked))
        if not self.knows():
            self.whole(401, self.error("authentication_error", "invalid key"))
        elif asked["model"].startswith("busy"):
            self.whole(429, self.error("rate_limit_error", "out of quota"), ("retry-after", "3"))
        elif asked.get("stream"):
            self.stream(self.events(asked), cut=asked["model"].startswith("cut"))
        else:
            self.whole(200, self.answer(asked))

    def whole(self, status, content, *headers):
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in (("content-type", "application/json"), ("content-length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def stream(self, events, *, cut):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.close_connection = cut
        for body in events[: len(events) // 2] if cut else [*events, None]:
            text = f"event: {body['type']}\ndata: {json.dumps(body)}\n\n" if body else ""
            self.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())

    def log_message(self, *_):
        """Nothing."""


class Anthropic(Vendor):
    """Messages."""

    def knows(self):
        return (self.path, self.headers["x-api-key"]) == ("/v1/messages", KEY)

    def error(self, kind, message):
        return {"type": "error", "error": {"type": kind, "message": message}}

    def said(self, asked):
        """The blocks of the answer, and why it ends."""
        results = [one for one in asked["messages"][-1]["content"] if one["type"] == "tool_result"]
        if asked.get("tools") and not results:
            return [{"type": "tool_use", "id": "t1", "name": "weather", "input": ARGUMENTS}], "tool_use"
        return [{"type": "text", "text": f"It is {results[0]['content']}" if results else "all well"}], "end_turn"

    def answer(self, asked):
        content, reason = self.said(asked)
        usage = {"input_tokens": PROMPT, "output_tokens": ANSWER}
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "stop_sequence": None}
        return {**head, "content": content, "stop_reason": reason, "usage": usage}

    def events(self, asked):
        [block], reason = self.said(asked)
        begun = {"content": [], "stop_reason": None, "usage": {"input_tokens": PROMPT, "output_tokens": 1}}
        if block["type"] == "text":
            empty = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": text} for text in halves(block["text"])]
        else:
            empty = {**block, "input": {}}
            deltas = [{"type": "input_json_delta", "partial_json": text} for text in halves(json.dumps(ARGUMENTS))]
        return [
            {"type": "message_start", "message": {**self.answer(asked), **begun}},
            {"type": "content_block_start", "index": 0, "content_block": empty},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": ANSWER}},
            {"type": "message_stop"},
        ]


class Cohere(Vendor):
    """Chat and Embed, version 2."""

    def knows(self):
        known = self.path in {"/v2/chat", "/v2/embed"}
        return known and self.headers["authorization"] == f"Bearer {KEY}"

    def error(self, _kind, message):
        return {"id": "e1", "message": message}

    def said(self, asked):
        last = asked["messages"][-1]
        if asked.get("tools") and last["role"] != "tool":
            function = {"name": "weather", "arguments": json.dumps(ARGUMENTS)}
            return "", [{"id": "t1", "type": "function", "function": function}], "TOOL_CALL"
        return f"It is {last['content']}" if last["role"] == "tool" else "all well", [], "COMPLETE"

    def usage(self):
        return {
            "billed_units": {"input_tokens": 2, "output_tokens": ANSWER},
            "tokens": {"input_tokens": PROMPT, "output_tokens": ANSWER},
        }

    def answer(self, asked):
        if self.path == "/v2/embed":
            vectors = [[0.5, float(len(text))] for text in asked["texts"]]
            return {"id": "e1", "embeddings": {"float": vectors}, "meta": {"billed_units": {"input_tokens": PROMPT}}}
        text, calls, reason = self.said(asked)
        content = [{"type": "text", "text": text}] if text else []
        message = {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}
        return {"id": "co1", "finish_reason": reason, "message": message, "usage": self.usage()}

    def events(self, asked):
        text, calls, reason = self.said(asked)
        return [
            {"type": "message-start", "id": "co1", "delta": {"message": {"role": "assistant", "content": []}}},
            {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
            *(
                {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": one}}}}
                for one in halves(text)
            ),
            {"type": "content-end", "index": 0},
            *(event for place, call in enumerate(calls) for event in self.called(place, call)),
            {"type": "message-end", "delta": {"finish_reason": reason, "usage": self.usage()}},
        ]

    def called(self, place, call):
        function = call["function"]
        begun = {**call, "function": {**function, "arguments": ""}}
        return [
            {"type": "tool-call-start", "index": place, "delta": {"message": {"tool_calls": begun}}},
            *(
                {
                    "type": "tool-call-delta",
                    "index": place,
                    "delta": {"message": {"tool_calls": {"function": {"arguments": one}}}},
                }
                for one in halves(function["arguments"])
            ),
            {"type": "tool-call-end", "index": place},
        ]


def halves(text):
    middle = len(text) // 2
    return [part for part in (text[:middle], text[middle:]) if part]


@contextmanager
def played(vendor):
    """A server of a vendor on this machine, on any port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), vendor)
    server.daemon_threads = True
    server.got = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
