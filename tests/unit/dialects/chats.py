"""Chat answers as servers write them, and streams of named events taken apart."""

import json

DONE = b"data: [DONE]\n\n"


def usage(prompt=7, completion=3, cached=0):
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def whole(message, finish="stop", used=None, **more):
    choice = {
        "index": 0,
        "message": {"role": "assistant", **message},
        "finish_reason": finish,
        "logprobs": None,
        **more,
    }
    answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 12, "model": "guide-1", "choices": [choice]}
    return json.dumps(answer | {"usage": used or usage()}).encode()


def chunk(delta=None, finish=None, used=None, **more):
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None, **more}]
    event = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 12, "model": "guide-1"}
    event |= {"choices": choices, "usage": used}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def call(index, name=None, arguments="", call_id=None):
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"tool_calls": [{"index": index, "function": function} | ({"id": call_id} if call_id else {})]}


TEXT = [
    chunk({"role": "assistant", "content": ""}, used=usage(7, 0)),
    chunk({"content": "Wat"}, used=usage(7, 1)),
    chunk({"content": "er ü"}, used=usage(7, 2)),
    chunk({"content": ""}, "stop", usage(7, 3, 4)),
    DONE,
]
CALLS = [
    chunk({"role": "assistant", "content": None, **call(0, "flow", call_id="call_a")}),
    chunk(call(0, arguments='{"river":')),
    chunk(call(0, arguments=' "Inn"}')),
    chunk(call(1, "level", call_id="call_b")),
    chunk(call(1, arguments='{"at": 2}')),
    chunk({}, "tool_calls"),
    chunk(used=usage(20, 9)),
    DONE,
]
MIXED = [
    chunk({"role": "assistant", "content": "I look."}),
    chunk(call(0, "flow", "{", "call_a")),
    chunk(call(1, "level", '{"at"', "call_b")),
    chunk(call(0, arguments='"river": "Inn"}')),
    chunk({"content": " Done."}),
    chunk(call(1, arguments=": 2}")),
    chunk({}, "tool_calls", usage(20, 9)),
    DONE,
]
STREAMS = {"text": TEXT, "calls": CALLS, "mixed": MIXED, "empty": [chunk({}, "stop", usage(7, 0)), DONE]}


def events(written):
    """Named events as (name, data)."""
    found = []
    *blocks, rest = written.split(b"\n\n")
    assert rest == b""
    for block in blocks:
        name, data = block.split(b"\n")
        assert name.startswith(b"event: ")
        assert data.startswith(b"data: ")
        found.append((name[7:].decode(), json.loads(data[6:])))
        assert found[-1][1]["type"] == found[-1][0]
    return found
