"""The data plane with unmodified clients: openai, MLflow deployments, databricks-sdk and plain HTTP."""

import base64
import json
import os
import uuid

import openai
import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import ChatMessage, ChatMessageRole
from mlflow.deployments import get_deploy_client

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
SAY = [{"role": "user", "content": "How much water flows?"}]
CONTEXT = 512


@pytest.fixture(autouse=True)
def client_environment(monkeypatch):
    for name, value in {"DATABRICKS_HOST": URL, "DATABRICKS_TOKEN": TOKEN, "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def client():
    with openai.OpenAI(base_url=f"{URL}/serving-endpoints", api_key=TOKEN, max_retries=0, timeout=120) as made:
        yield made


def post(path, json=None, **how):
    headers = {"Authorization": f"Bearer {TOKEN}", **how.pop("headers", {})}
    return requests.post(f"{URL}/serving-endpoints/{path}", json=json, headers=headers, timeout=120, **how)


def test_a_whole_answer_a_stream_and_log_probabilities_agree(client, chat):
    how = {"model": chat, "messages": SAY, "max_tokens": 12, "temperature": 0, "logprobs": True, "top_logprobs": 3}
    whole = client.chat.completions.create(**how)
    assert whole.usage.completion_tokens == len(whole.choices[0].logprobs.content)
    assert all(len(token.top_logprobs) == 3 for token in whole.choices[0].logprobs.content)
    chunks = list(client.chat.completions.create(**how, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    told = [chunk.usage.completion_tokens for chunk in chunks]
    assert told == sorted(told)


def test_a_stream_is_data_lines_only(chat):
    answer = post(
        f"{chat}/invocations", {"messages": SAY, "max_tokens": 5, "stream": True}, stream=True,
        headers={"Accept-Encoding": "gzip"},
    )  # fmt: skip
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-encoding" not in answer.headers
    assert answer.headers["served-model-name"] == "the-entity"
    assert uuid.UUID(answer.headers["x-request-id"])
    lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith(b"data: ") for line in lines)
    assert lines[-1] == b"data: [DONE]"
    assert all(json.loads(line[6:])["usage"]["prompt_tokens"] > 0 for line in lines[:-1])


def test_mlflow_predicts_whole_and_in_a_stream(chat):
    client = get_deploy_client("databricks")
    inputs = {"messages": SAY, "max_tokens": 6, "temperature": 0}
    whole = client.predict(endpoint=chat, inputs=inputs)
    parts = list(client.predict_stream(endpoint=chat, inputs=inputs))
    text = "".join(part["choices"][0]["delta"].get("content") or "" for part in parts)
    assert text == whole["choices"][0]["message"]["content"]


def test_the_sdk_queries(chat):
    workspace = WorkspaceClient(host=URL, token=TOKEN)
    answer = workspace.serving_endpoints.query(
        chat, messages=[ChatMessage(role=ChatMessageRole.USER, content="hello")], max_tokens=4, client_request_id="me"
    )
    assert answer.choices[0].message.content is not None
    assert answer.served_model_name == "the-entity"
    assert answer.usage.completion_tokens <= 4


def test_the_entity_can_be_addressed_and_basic_credentials_work(chat):
    basic = base64.b64encode(f"token:{TOKEN}".encode()).decode()
    body = {"messages": SAY, "max_tokens": 1, "model": "anything"}
    path = f"{chat}/served-models/the-entity/invocations"
    assert post(path, body, headers={"Authorization": f"Basic {basic}"}).status_code == 200
    assert post(path + "/?o=7", body).status_code == 200
    other = post(f"{chat}/served-models/other/invocations", body)
    assert (other.status_code, "the-entity" in other.json()["message"]) == (400, True)


def test_completions(client, completions):
    how = {"model": completions, "temperature": 0, "max_tokens": 5}
    both = client.completions.create(prompt=["one", "two"], **how)
    assert [choice.index for choice in both.choices] == [0, 1]
    one = client.completions.create(prompt="one", **how)
    assert one.choices[0].text == both.choices[0].text
    parts = client.completions.create(prompt="one", **how, stream=True)
    assert "".join(part.choices[0].text for part in parts if part.choices) == one.choices[0].text
    echoed = client.completions.create(prompt="one", echo=True, logprobs=2, **how)
    assert echoed.choices[0].text.startswith("one")


def test_embeddings(client, embeddings):
    texts = ["water", "a much longer text about turbines"]
    answer = client.embeddings.create(model=embeddings, input=texts)
    assert [len(row.embedding) for row in answer.data] == [64, 64]
    assert all(abs(sum(value * value for value in row.embedding) - 1) < 1e-2 for row in answer.data)
    raw = post(f"{embeddings}/invocations", {"input": "water"}).json()
    assert set(raw["usage"]) >= {"prompt_tokens", "total_tokens"}
    assert "completion_tokens" not in raw["usage"]
    assert isinstance(raw["data"][0]["embedding"][0], float)
    missing = post(f"{embeddings}/invocations", {})
    assert missing.status_code == 400
    assert "'input'" in missing.json()["message"]


def test_models_are_listed(client, chat):
    assert chat in [model.id for model in client.models.list()]


BAD = [
    ({}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": SAY, "max_tokens": -1}, "max_tokens"),
    ({"messages": SAY, "temperature": 9}, "temperature"),
    ({"messages": SAY, "logprobs": True, "top_logprobs": 50}, "top_logprobs"),
    ({"messages": SAY, "stream": True, "n": 2}, '"n" must be equal to 1 for streaming mode'),
    ({"messages": [{"role": "user", "content": "flow " * CONTEXT}]}, str(CONTEXT)),
]


def test_what_is_wrong_is_named(chat):
    for body, words in BAD:
        answer = post(f"{chat}/invocations", body)
        assert answer.status_code == 400, body
        assert answer.json()["error_code"], body
        assert words in answer.json()["message"], (body, answer.text)
    broken = post(f"{chat}/invocations", data=b'{"messages": [')
    assert broken.status_code == 400
    large = post(f"{chat}/invocations", {"messages": [{"role": "user", "content": "a" * (4 << 20)}]})
    assert (large.status_code, str(4 << 20) in large.json()["message"]) == (400, True)


def test_what_is_not_there_or_not_allowed(client, chat, embeddings):
    assert post("no-such-endpoint/invocations", {"messages": SAY}).json()["error_code"] == "ENDPOINT_NOT_FOUND"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="no-such-endpoint", messages=SAY)
    with pytest.raises(openai.BadRequestError, match="llm/v1/embeddings"):
        client.chat.completions.create(model=embeddings, messages=SAY)
    assert post(f"{chat}/invocations", {"messages": SAY}, headers={"Authorization": ""}).status_code == 401
    assert post(f"{chat}/invocations", {"messages": SAY}, headers={"Authorization": "Bearer x"}).status_code == 403
    got = requests.get(
        f"{URL}/serving-endpoints/{chat}/invocations", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
    )
    assert (got.status_code, got.json()["error_code"]) == (405, "METHOD_NOT_ALLOWED")


def test_fields_of_other_servers_do_not_hurt(client, chat):
    answer = client.chat.completions.create(
        model=chat, messages=SAY, max_completion_tokens=3, stream=False, seed=5, user="me", store=False,
        parallel_tool_calls=True, metadata={"a": "b"}, extra_body={"made_up": [1]},
    )  # fmt: skip
    assert answer.usage.completion_tokens <= 3
    parts = client.chat.completions.create(
        model=chat, messages=SAY, max_tokens=3, stream=True, stream_options={"include_usage": True}
    )
    assert list(parts)[-1].usage.completion_tokens <= 3
