"""Calls of providers that are translated, and their answers read as clients of OpenAI's wire read them."""

import json

from penstock.adapters.providers.translated import SseTranslator
from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Task
from penstock.domain.secret import Hidden
from penstock.domain.trace_context import TraceContext
from penstock.ports.provider import ProviderCall

DONE = b"data: [DONE]\n\n"
TRACED = TraceContext("a" * 32, "b" * 16, 1, "x=y")
"""The span that every call is below."""
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "Tells it", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "now"}},
]
PNG = "data:image/png;base64,aGk="
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
            {"id": "c2", "type": "function", "function": {"name": "now", "arguments": ""}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "sun"},
    {"role": "tool", "tool_call_id": "c2", "content": "noon"},
]
LOOK = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": PNG}}],
    }
]


def call(kind, name, fields, secrets, *, task=Task.CHAT, streaming=False, **body):
    body = {"messages": [{"role": "user", "content": "Hi"}]} | body if task is Task.CHAT else body
    model = ExternalModel(name, kind, task, fields)
    hidden = {field: Hidden(text) for field, text in secrets.items()}
    sent = {"model": "talk", "stream": streaming, "client_request_id": "mine", **body}
    return ProviderCall(model, hidden, json.dumps(sent).encode(), streaming, "r1", trace=TRACED)


async def asked(provider, one):
    answer = await provider.open(one)
    body = await answer.whole()
    answer.close()
    return answer, json.loads(body)


async def streamed(provider, one):
    answer = await provider.open(one)
    parts = []
    try:
        while part := await answer.events():
            parts.append(part)
    finally:
        answer.close()
    return b"".join(parts)


def events(stream):
    """The objects of a stream that is whole."""
    assert stream.endswith(DONE)
    found = stream.removesuffix(b"\n\n").split(b"\n\n")[:-1]
    assert all(one.startswith(b"data: ") for one in found)
    return [json.loads(one[len(b"data: ") :]) for one in found]


def told(stream):
    """A stream put together: text, calls as (id, name, arguments), reason, usage."""
    chunks = events(stream)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text, calls, reasons, usage = "", {}, [], []
    for chunk in chunks:
        assert chunk["object"] == "chat.completion.chunk"
        assert {"id", "created", "model"} <= set(chunk)
        usage += [chunk["usage"]] if "usage" in chunk else []
        for choice in chunk["choices"]:
            delta = choice["delta"]
            text += delta["content"] if isinstance(delta.get("content"), str) else ""
            for piece in delta.get("tool_calls", ()):
                if "id" in piece:
                    assert piece["index"] == len(calls)
                    calls[piece["index"]] = [piece["id"], piece["function"]["name"], ""]
                calls[piece["index"]][2] += piece["function"]["arguments"]
            reasons += [choice["finish_reason"]] if choice["finish_reason"] else []
    [reason] = reasons
    [total] = usage
    assert chunks[-1]["choices"] == []
    return text, [tuple(one) for one in calls.values()], reason, total


def split_anywhere(make, wire):
    """What a translator says of a wire cut in two at every byte; it is always the same."""
    found = set()
    for cut in range(len(wire) + 1):
        translator = make()
        parts = [translator.feed(part) for part in (wire[:cut], wire[cut:]) if part]
        if not translator.done:
            parts.append(translator.end())
        assert translator.done
        found.add(b"".join(parts))
    [only] = found
    return only


def sse(make):
    """A maker of translators of server-sent events."""
    return lambda: SseTranslator("Provider 'x'", make())


def carries_the_trace(got):
    """Whether a request told the provider which trace it is part of."""
    return (got.headers.get("traceparent"), got.headers.get("tracestate")) == (TRACED.parent, TRACED.state)
