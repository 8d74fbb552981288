"""The worker's HTTP with a fake model: the wire formats."""

import io

import numpy as np
import pytest
from engine_fakes import FakeDecoder, byte_level, write_model
from engine_http import ASK, CHAT, NO_END, events, post

from penstock_engine.service import Task


async def test_a_chat_answer_has_the_known_shape(client):
    found = await post(client, ASK)
    assert found["id"].startswith("chatcmpl_")
    assert (found["object"], found["model"]) == ("chat.completion", "fake")
    (choice,) = found["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "length"
    assert choice["logprobs"] is None
    usage = found["usage"]
    assert usage["completion_tokens"] == 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + 12
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}


async def test_patience_is_a_number_of_seconds(client):
    assert (await post(client, ASK, **{"x-patience": "0.25"}))["usage"]["completion_tokens"] == 12
    found = await post(client, ASK, status=400, **{"x-patience": "soon"})
    assert found["message"] == "header x-patience must be a number of seconds"


async def test_what_an_answer_took_is_told_beside_it(client):
    async with client.post(CHAT, json=ASK, headers={"x-request-id": "mine"}) as response:
        seconds = float(response.headers["x-device-seconds"])
    assert seconds > 0
    async with client.delete("/v1/requests/mine") as response:
        told = await response.json()
    assert told["device_seconds"] == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("extra", [{}, {"logprobs": True, "top_logprobs": 3}, {"stop": ["e", "a"]}, {"max_tokens": 1}])
async def test_streaming_says_what_not_streaming_says(client, extra):
    for question in ("Tokens", "water", "Grüße"):
        body = ASK | extra | {"messages": [{"role": "user", "content": question}]}
        whole = await post(client, body)
        chunks = await events(client, body)
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert deltas[0] == {"role": "assistant", "content": ""}
        assert deltas[-1] == {"content": ""}
        (choice,) = whole["choices"]
        assert "".join(delta["content"] for delta in deltas) == choice["message"]["content"]
        finishes = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
        assert finishes == [None] * (len(chunks) - 1) + [choice["finish_reason"]]
        assert chunks[-1]["choices"][0].get("stop_reason") == choice.get("stop_reason")
        spent = [chunk["usage"]["completion_tokens"] for chunk in chunks]
        assert spent == sorted(spent)
        assert spent[-1] == whole["usage"]["completion_tokens"]
        assert len({chunk["id"] for chunk in chunks}) == 1
        if "logprobs" in extra:
            entries = [
                entry for chunk in chunks for entry in (chunk["choices"][0]["logprobs"] or {}).get("content", [])
            ]
            assert entries == choice["logprobs"]["content"]


async def test_log_probabilities_have_openais_shape(client):
    found = await post(client, ASK | {"logprobs": True, "top_logprobs": 2})
    content = found["choices"][0]["logprobs"]["content"]
    assert len(content) == 12
    first = content[0]
    assert first["logprob"] == first["top_logprobs"][0]["logprob"] > first["top_logprobs"][1]["logprob"]
    assert bytes(first["bytes"]).decode("utf-8", "replace") == first["token"]
    text = b"".join(bytes(entry["bytes"]) for entry in content)
    assert text.decode("utf-8", "replace") == found["choices"][0]["message"]["content"]
    assert (await post(client, ASK | {"logprobs": True}))["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []


async def test_a_stop_string_ends_the_answer_before_it(client):
    plain = (await post(client, ASK))["choices"][0]
    assert "stop_reason" not in plain
    text = plain["message"]["content"]
    stop = text[4:7]
    found = await post(client, ASK | {"stop": [stop, "\x00never"]})
    assert found["choices"][0]["stop_reason"] == stop
    assert found["choices"][0]["message"]["content"] == text[: text.index(stop)]
    assert found["choices"][0]["finish_reason"] == "stop"
    assert found["usage"]["completion_tokens"] <= 12


async def test_an_end_token_ends_the_answer_and_is_counted(open_text):
    decoder = FakeDecoder(vocab_size=400, never=NO_END)
    async with open_text(decoder) as client:
        plain = await post(client, ASK)
        found = await post(client, ASK | {"logit_bias": {"1": 100}, "min_tokens": 3, "logprobs": True})
        assert found["choices"][0]["finish_reason"] == "stop"
        assert found["usage"]["completion_tokens"] == 4
        assert len(found["choices"][0]["logprobs"]["content"]) == 3
        assert plain["choices"][0]["message"]["content"].startswith(found["choices"][0]["message"]["content"])
        ignoring = await post(client, ASK | {"logit_bias": {"1": 100}, "ignore_eos": True})
        assert ignoring["usage"]["completion_tokens"] == 12


async def test_n_choices_differ_and_a_seed_repeats_them(client):
    body = ASK | {"n": 3, "temperature": 1.5, "seed": 11}
    first, second = await post(client, body), await post(client, body)
    texts = [choice["message"]["content"] for choice in first["choices"]]
    assert len(set(texts)) == 3
    assert [choice["index"] for choice in first["choices"]] == [0, 1, 2]
    assert texts == [choice["message"]["content"] for choice in second["choices"]]
    assert first["usage"]["completion_tokens"] == 36
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


async def test_a_prompt_is_known_only_where_it_came_from(client):
    async def cached(**headers):
        found = await post(client, ASK, **headers)
        assert found["choices"][0]["message"]["content"] == said
        return found["usage"]["prompt_tokens_details"]["cached_tokens"]

    said = (await post(client, ASK))["choices"][0]["message"]["content"]
    one, two = {"x-namespace": "one"}, {"x-namespace": "two"}
    assert await cached() > 0
    assert await cached(**one) == 0
    assert await cached(**two) == 0
    assert await cached(**one) > 0
    assert await cached(**two) > 0


async def test_completions_in_all_shapes(client):
    path = "/v1/completions"
    body = {"temperature": 0, "max_tokens": 3}
    found = await post(client, body | {"prompt": ["flow", "water"], "n": 2}, path)
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2, 3]
    texts = [choice["text"] for choice in found["choices"]]
    assert texts[0] == texts[1] != texts[2] == texts[3]
    alone = await post(client, body | {"prompt": "water"}, path)
    assert alone["choices"][0]["text"] == texts[2]
    assert alone["object"] == "text_completion"
    chunks = await events(client, body | {"prompt": "water", "echo": True}, path)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "water" + texts[2]
    tokens = await post(client, body | {"prompt": [[7, 8, 9], [10]]}, path)
    assert tokens["usage"]["prompt_tokens"] == 4


async def test_echo_scores_the_prompt_too(client):
    path = "/v1/completions"
    body = {"prompt": "A penstock feeds", "temperature": 0, "max_tokens": 3, "echo": True, "logprobs": 2}
    found = await post(client, body, path)
    (choice,) = found["choices"]
    scores = choice["logprobs"]
    count = found["usage"]["prompt_tokens"] + 3
    assert {len(scores[key]) for key in ("tokens", "token_logprobs", "top_logprobs", "text_offset")} == {count}
    assert scores["token_logprobs"][0] is None
    assert all(value < 0 for value in scores["token_logprobs"][1:])
    assert scores["text_offset"] == list(np.cumsum([0, *map(len, scores["tokens"][:-1])]))
    only = await post(client, body | {"max_tokens": 0}, path)
    assert only["choices"][0]["text"] == "A penstock feeds"
    assert only["choices"][0]["logprobs"]["token_logprobs"] == scores["token_logprobs"][:-3]
    chunks = await events(client, body, path)
    parts = [chunk["choices"][0]["logprobs"] for chunk in chunks if chunk["choices"][0]["logprobs"]]
    assert [token for part in parts for token in part["tokens"]] == scores["tokens"]
    assert [offset for part in parts for offset in part["text_offset"]] == scores["text_offset"]


async def test_what_does_not_fit_the_context(client):
    long = [{"role": "user", "content": "water " * 300}]
    found = await post(client, ASK | {"messages": long}, status=400)
    assert found["error_code"] == "BAD_REQUEST"
    assert "context length is 200 tokens" in found["message"]
    clamped = await post(client, ASK | {"max_tokens": 100_000})
    assert clamped["usage"]["total_tokens"] == 200
    assert clamped["choices"][0]["finish_reason"] == "length"
    assert (await post(client, {**ASK, "max_tokens": None}))["usage"]["total_tokens"] == 200
    path, body = "/v1/completions", {"prompt": "A penstock", "max_tokens": 100_000, "ignore_eos": True}
    asked = await post(client, body | {"error_behavior": "truncate"}, path)
    assert asked["usage"]["total_tokens"] == 200
    refused = await post(client, body | {"error_behavior": "error"}, path, status=400)
    assert 'parameter "max_tokens" is 100000, but' in refused["message"]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (CHAT, {"messages": []}, "messages"),
        (CHAT, ASK | {"n": 2, "stream": True}, 'parameter "n" must be equal to 1 for streaming mode'),
        (CHAT, ASK | {"logit_bias": {"400": 1}}, "tokens are 0 to 399"),
        ("/v1/completions", {"prompt": [400]}, "the last known is 399"),
        ("/v1/completions", {"prompt": [[]]}, "has no tokens"),
        ("/v1/embeddings", {"input": "x"}, "its task is llm/v1/chat"),
    ],
)
async def test_refusals_have_one_shape(client, path, body, message):
    found = await post(client, body, path, status=400)
    assert set(found) == {"error_code", "message"}
    assert message in found["message"]


async def test_unknown_routes_and_methods_and_large_bodies(client):
    assert (await post(client, {}, "/v1/nothing", status=404))["error_code"] == "ENDPOINT_NOT_FOUND"
    async with client.get(CHAT) as response:
        assert response.status == 405
        assert "allows POST" in (await response.json())["message"]
    async with client.post(CHAT, data=io.BytesIO(b" " * (32 * 1024 * 1024 + 1))) as response:
        assert response.status == 400
        assert "33554432 bytes" in (await response.json())["message"]


async def test_a_model_without_template_answers_completions_only(open_text, tmp_path):
    folder = write_model(tmp_path, byte_level(), chat_template=None)
    async with open_text(folder=folder) as client:
        assert "no chat template" in (await post(client, ASK, status=400))["message"]
        await post(client, {"prompt": "x", "max_tokens": 1}, "/v1/completions")
    async with open_text(task=Task.COMPLETIONS) as client:
        assert "its task is llm/v1/completions" in (await post(client, ASK, status=400))["message"]


async def test_long_requests_are_prepared_beside_the_loop(client):
    body = {"prompt": [list(range(6, 26)) for _ in range(120)], "max_tokens": 1, "temperature": 0}
    found = await post(client, body, "/v1/completions")
    assert found["usage"]["prompt_tokens"] == 2400
    assert len({choice["text"] for choice in found["choices"]}) == 1


async def test_health_and_metrics(client):
    await post(client, ASK)
    async with client.get("/health") as response:
        health = await response.json()
    assert health == {
        "status": "ok", "model": "fake", "task": "llm/v1/chat", "architecture": "FakeForCausalLM", "parameters": 5,
        "context_length": 200, "kv_tokens": 256, "running": 0, "waiting": 0,
    }  # fmt: skip
    async with client.get("/metrics") as response:
        text = await response.text()
    for line in (
        'penstock_engine_requests_total{outcome="completed"} 1.0',
        "penstock_engine_completion_tokens_total 12.0",
        "penstock_engine_kv_blocks 64.0",
        "penstock_engine_kv_blocks_used 0.0",
        "penstock_engine_step_seconds_count 12.0",
        "penstock_engine_running 0.0",
    ):
        assert line in text


async def test_embeddings_come_in_order_as_lists(embedder):
    texts = ["water", "a guaranteed flow of water", "flow", "tokens per second"]
    body = {"input": texts, "encoding_format": "base64", "model": "x"}
    found = await post(embedder, body, "/v1/embeddings")
    assert [row["index"] for row in found["data"]] == [0, 1, 2, 3]
    for text, row in zip(texts, found["data"], strict=True):
        alone = await post(embedder, {"input": text}, "/v1/embeddings")
        assert row["embedding"] == alone["data"][0]["embedding"]
        assert isinstance(row["embedding"], list)
    assert set(found["usage"]) == {"prompt_tokens", "total_tokens"}
    instructed = await post(embedder, {"input": "flow", "instruction": "Search:"}, "/v1/embeddings")
    same = await post(embedder, {"input": "Search: flow"}, "/v1/embeddings")
    assert instructed["data"] == same["data"]


async def test_embedding_refusals(embedder):
    path = "/v1/embeddings"
    long = await post(embedder, {"input": ["x", "water " * 50]}, path, status=400)
    assert 'parameter "input[1]" has' in long["message"]
    assert "context length is 32 tokens" in long["message"]
    tokens = await post(embedder, {"input": [[1, 2], [400]]}, path, status=400)
    assert "unknown tokens" in tokens["message"]
    both = await post(embedder, {"input": [1, 2], "instruction": "x"}, path, status=400)
    assert '"instruction"' in both["message"]
    assert "its task is llm/v1/embeddings" in (await post(embedder, ASK, status=400))["message"]
    embedder.encoder.fail = 1
    assert (await post(embedder, {"input": "x"}, path, status=500))["error_code"] == "INTERNAL_ERROR"
    assert len((await post(embedder, {"input": "x"}, path))["data"]) == 1
