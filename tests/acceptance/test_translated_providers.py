"""Providers of another wire through a running server: the openai client on one side, played vendors on the other.

What the ledger has of each request is read with `penstock ledger requests`, as an operator does.
"""

import csv
import json
import os
import subprocess
import time
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import openai
import pytest
import requests
from played_vendors import ANSWER, ARGUMENTS, KEY, PROMPT, Anthropic, Cohere, played

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
COMMAND = os.environ["PENSTOCK_COMMAND"]
LEDGER_S = 60
SAY = [{"role": "user", "content": "How are you?"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
COMPLETED = {"outcome": "completed", "status": "200", "estimated": "0"}
CHAT = COMPLETED | {"prompt_tokens": str(PROMPT), "completion_tokens": str(ANSWER)}


def call(method, path, body):
    answer = requests.request(
        method, f"{URL}{path}", json=body, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def client():
    return openai.OpenAI(base_url=f"{URL}/serving-endpoints", api_key=TOKEN, max_retries=0)


@pytest.fixture(scope="module")
def scope():
    name = f"vendors-{uuid.uuid4().hex[:8]}"
    call("POST", "/api/2.0/secrets/scopes/create", {"scope": name})
    for key, value in {"right": KEY, "wrong": "vendor-key-2"}.items():
        call("POST", "/api/2.0/secrets/put", {"scope": name, "key": key, "string_value": value})
    return name


def of(provider, server, scope):
    """A vendor with `serve`, which makes an endpoint for one of its models and returns its name."""

    def serve(model, task="llm/v1/chat", key="right"):
        name = f"{provider}-{uuid.uuid4().hex[:8]}"
        config = {
            f"{provider}_api_key": f"{{{{secrets/{scope}/{key}}}}}",
            f"{provider}_api_base": f"http://127.0.0.1:{server.server_address[1]}",
        }
        external = {"name": model, "provider": provider, "task": task, f"{provider}_config": config}
        body = {"name": name, "config": {"served_entities": [{"name": "it", "external_model": external}]}}
        assert call("POST", "/api/2.0/serving-endpoints", body)["state"]["ready"] == "READY"
        return name

    return SimpleNamespace(provider=provider, got=server.got, serve=serve)


@pytest.fixture(scope="module", params=[("anthropic", Anthropic), ("cohere", Cohere)], ids=["anthropic", "cohere"])
def vendor(request, scope):
    provider, player = request.param
    with played(player) as server:
        yield of(provider, server, scope)


@pytest.fixture
def cohere(scope):
    with played(Cohere) as server:
        yield of("cohere", server, scope)


@pytest.fixture
def ledger(tmp_path):
    """Waits for the rows of requests, by their ids."""

    def rows(endpoint, *ids):
        path, ends_at = tmp_path / "rows.csv", time.monotonic() + LEDGER_S
        today, day = datetime.now(UTC).date(), timedelta(days=1)
        words = [COMMAND, "ledger", "requests", endpoint, "--from", str(today - day), "--to", str(today + 2 * day)]
        # the server's settings, of which the tests' own variables are none
        own = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        words += ["--data-dir", os.environ["PENSTOCK_DATA_DIR"]]
        found, last = {}, None
        while not set(ids) <= set(found):
            assert time.monotonic() < ends_at, f"the ledger has {sorted(found)} and not all of {ids}: {last}"
            path.unlink(missing_ok=True)
            # it fails until the ledger has heard of the endpoint
            last = subprocess.run([*words, "--csv", str(path)], env=own, capture_output=True, text=True, check=False)
            if path.exists():
                with path.open(newline="") as lines:
                    found = {row["request_id"]: row for row in csv.DictReader(lines)}
        return [found[one] for one in ids]

    return rows


def is_like(row, expected):
    return {name: row[name] for name in expected} == expected


def test_chat_whole_and_streamed(vendor, ledger):
    name = vendor.serve("model-1")
    chat = client().chat.completions.with_raw_response
    whole = chat.create(model=name, messages=SAY, max_tokens=9)
    answer = whole.parse()
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("all well", "stop")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (PROMPT, ANSWER)
    assert (vendor.got[-1][1]["model"], vendor.got[-1][1]["max_tokens"]) == ("model-1", 9)
    plain = chat.create(model=name, messages=SAY, stream=True)
    chunks = list(plain.parse())
    assert all(chunk.choices for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "all well"
    assert chunks[-1].choices[0].finish_reason == "stop"
    told = chat.create(model=name, messages=SAY, stream=True, stream_options={"include_usage": True})
    assert list(told.parse())[-1].usage.total_tokens == PROMPT + ANSWER
    ids = [one.headers["x-request-id"] for one in (whole, plain, told)]
    for row in ledger(name, *ids):
        assert is_like(row, CHAT), row


def test_tools_whole_and_streamed(vendor, ledger):
    name = vendor.serve("model-1")
    chat = client().chat.completions
    message = chat.create(model=name, messages=SAY, tools=TOOLS, tool_choice="required").choices[0].message
    [made] = message.tool_calls
    assert (made.function.name, json.loads(made.function.arguments)) == ("weather", ARGUMENTS)
    result = {"role": "tool", "tool_call_id": made.id, "content": "sunny"}
    talk = [*SAY, message.model_dump(exclude_none=True), result]
    assert chat.create(model=name, messages=talk, tools=TOOLS).choices[0].message.content == "It is sunny"
    stream = chat.with_raw_response.create(model=name, messages=SAY, tools=TOOLS, stream=True)
    chunks = [chunk.choices[0] for chunk in stream.parse()]
    pieces = [piece for one in chunks for piece in one.delta.tool_calls or ()]
    assert [piece.function.name for piece in pieces if piece.id] == ["weather"]
    assert json.loads("".join(piece.function.arguments or "" for piece in pieces)) == ARGUMENTS
    assert chunks[-1].finish_reason == "tool_calls"
    [row] = ledger(name, stream.headers["x-request-id"])
    assert is_like(row, CHAT), row


def test_a_schema_is_said_in_the_vendors_words(vendor):
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    client().chat.completions.create(model=vendor.serve("model-1"), messages=SAY, response_format=form)
    sent = vendor.got[-1][1]
    expected = {
        "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        "cohere": {"response_format": {"type": "json_object", "json_schema": SCHEMA}},
    }[vendor.provider]
    assert sent | expected == sent


def test_errors_are_the_vendors_own_and_tell_no_key(vendor, ledger):
    name = vendor.serve("busy-1")
    with pytest.raises(openai.RateLimitError) as caught:
        client().chat.completions.create(model=name, messages=SAY)
    answer = caught.value.response
    assert answer.headers["retry-after"] == "3"
    assert "out of quota" in json.dumps(answer.json()["external_model_message"])
    [row] = ledger(name, answer.headers["x-request-id"])
    assert is_like(row, {"outcome": "rejected", "status": "429", "prompt_tokens": "0", "completion_tokens": "0"}), row
    with pytest.raises(openai.AuthenticationError) as caught:
        client().chat.completions.create(model=vendor.serve("model-1", key="wrong"), messages=SAY)
    assert "invalid key" in caught.value.response.text
    assert "vendor-key" not in caught.value.response.text


def test_a_stream_that_the_vendor_cuts_ends_with_an_error_and_is_accounted(vendor, ledger):
    name = vendor.serve("cut-1")
    stream = client().chat.completions.with_raw_response.create(model=name, messages=SAY, stream=True)
    with pytest.raises(openai.APIError, match="broke off in the middle of its answer"):
        list(stream.parse())
    [row] = ledger(name, stream.headers["x-request-id"])
    assert is_like(row, {"outcome": "failed", "estimated": "1"}), row
    assert int(row["prompt_tokens"]) > 0


def test_a_limit_of_tokens_bounds_answers_that_the_client_does_not(vendor):
    name = vendor.serve("model-1")
    limits = {"rate_limits": [{"key": "endpoint", "tokens": 1000, "renewal_period": "minute"}]}
    call("PUT", f"/api/2.0/serving-endpoints/{name}/ai-gateway", limits)
    chat = client().chat.completions.with_raw_response
    ends_at = time.monotonic() + LEDGER_S
    while "x-ratelimit-limit-tokens" not in chat.create(model=name, messages=SAY).headers:
        assert time.monotonic() < ends_at
    for said, sent in ((None, 250), (7, 7), (10_000, None)):
        before = len(vendor.got)
        more = {"max_tokens": said} if said else {}
        if sent is None:
            with pytest.raises(openai.RateLimitError, match="1000 tokens per minute"):
                chat.create(model=name, messages=SAY, **more)
            assert len(vendor.got) == before
        else:
            answer = chat.create(model=name, messages=SAY, **more)
            assert vendor.got[-1][1]["max_tokens"] == sent
            assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 1000


def test_embeddings(cohere, ledger):
    name = cohere.serve("embed-v4.0", task="llm/v1/embeddings")
    wishes = {"input_type": "search_query", "truncate": "NONE"}
    raw = client().embeddings.with_raw_response.create(model=name, input=["a", "bcd"], extra_body=wishes)
    answer = raw.parse()
    assert [one.embedding for one in answer.data] == [[0.5, 1.0], [0.5, 3.0]]
    assert answer.usage.prompt_tokens == PROMPT
    path, sent = cohere.got[-1]
    assert (path, sent["texts"]) == ("/v2/embed", ["a", "bcd"])
    assert sent | wishes == sent
    [row] = ledger(name, raw.headers["x-request-id"])
    assert is_like(row, COMPLETED | {"prompt_tokens": str(PROMPT), "completion_tokens": "0"}), row
