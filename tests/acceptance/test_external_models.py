"""External models with unmodified clients, before a provider of OpenAI's wire that this file plays."""

import json
import os
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest
from databricks.sdk.service.serving import (
    ChatMessage,
    ChatMessageRole,
    EndpointCoreConfigInput,
    EndpointStateConfigUpdate,
    EndpointStateReady,
    ExternalModel,
    ExternalModelProvider,
    FallbackConfig,
    OpenAiConfig,
    Route,
    ServedEntityInput,
    TrafficConfig,
)
from mlflow.deployments import get_deploy_client

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
KEY = "sk-acceptance-1"
ASK = {"messages": [{"role": "user", "content": "What is throughput?"}], "max_tokens": 4}
USAGE = {"prompt_tokens": 6, "completion_tokens": 2, "total_tokens": 8}


class Provider(BaseHTTPRequestHandler):
    """Answers chats with what it was asked; a model `busy-...` is always out of quota."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers["authorization"] != f"Bearer {KEY}":
            self._whole(401, {"error": {"message": "Incorrect API key provided"}})
        elif asked["model"].startswith("busy"):
            self._whole(429, {"error": {"message": "out of quota"}}, ("retry-after", "1"))
        elif self.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.5, 1.5]}]
            usage = {"prompt_tokens": 6, "total_tokens": 6}
            self._whole(200, {"object": "list", "model": asked["model"], "data": data, "usage": usage})
        elif asked.get("stream"):
            self._stream(asked)
        else:
            message = {"role": "assistant", "content": f"{asked['model']} is well"}
            choices = [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}]
            self._whole(200, {**self._head(asked, "chat.completion"), "choices": choices, "usage": USAGE, "extra": [1]})

    def _head(self, asked, kind):
        return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": asked["model"]}

    def _whole(self, status, content, *headers):
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in (("content-type", "application/json"), ("content-length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, asked):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        head = self._head(asked, "chat.completion.chunk")
        deltas = ({"role": "assistant", "content": ""}, {"content": "all "}, {"content": "well"})
        chunks = [{**head, "choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in deltas]
        chunks.append({**head, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]})
        if (asked.get("stream_options") or {}).get("include_usage"):
            chunks.append({**head, "choices": [], "usage": USAGE})
        events = [f"data: {json.dumps(one)}\n\n" for one in chunks] + ["data: [DONE]\n\n"]
        for event in [*events, ""]:
            self.wfile.write(f"{len(event):x}\r\n{event}\r\n".encode())

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture(autouse=True)
def client_environment(monkeypatch):
    for name, value in {"DATABRICKS_HOST": URL, "DATABRICKS_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def provider():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def workspace():
    return WorkspaceClient(host=URL, token=TOKEN)


@pytest.fixture(scope="module")
def secret(workspace):
    scope = f"llm-{uuid.uuid4().hex[:8]}"
    workspace.secrets.create_scope(scope)
    workspace.secrets.put_secret(scope, "openai", string_value=KEY)
    return f"{{{{secrets/{scope}/openai}}}}"


@pytest.fixture
def name():
    return f"external-{uuid.uuid4().hex[:8]}"


def model(name, base, task="llm/v1/chat", **key):
    config = {"openai_api_base": base, **key}
    return {"name": name, "provider": "openai", "task": task, "openai_config": config}


def sdk_entity(name, base, secret, model_name="gpt-4o"):
    config = OpenAiConfig(openai_api_key=secret, openai_api_base=base)
    external = ExternalModel(
        name=model_name, provider=ExternalModelProvider.OPENAI, task="llm/v1/chat", openai_config=config
    )
    return ServedEntityInput(name=name, external_model=external)


def test_mlflow_makes_asks_changes_and_deletes_an_endpoint(provider, secret, name):
    client = get_deploy_client("databricks")
    entity = {"name": "talk", "external_model": model("gpt-4o", provider, openai_api_key=secret)}
    made = client.create_endpoint(
        name=name,
        config={"served_entities": [entity], "rate_limits": [{"key": "user", "renewal_period": "minute", "calls": 5}]},
    )
    assert made["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
    assert made["config"]["served_entities"][0]["external_model"] == entity["external_model"]
    answer = client.predict(endpoint=name, inputs=ASK)
    assert answer["choices"][0]["message"]["content"] == "gpt-4o is well"
    assert (answer["usage"], answer["extra"]) == (USAGE, [1])
    texts = [chunk["choices"][0]["delta"]["content"] for chunk in client.predict_stream(endpoint=name, inputs=ASK)]
    assert "".join(texts) == "all well"
    entity["external_model"] = model("gpt-4o-mini", provider, openai_api_key=secret)
    changed = client.update_endpoint(endpoint=name, config={"served_entities": [entity]})
    assert changed["config"]["config_version"] == 2
    assert client.predict(endpoint=name, inputs=ASK)["choices"][0]["message"]["content"] == "gpt-4o-mini is well"
    assert client.get_endpoint(name)["endpoint_type"] == "EXTERNAL_MODEL"
    assert name in [one["name"] for one in client.list_endpoints()]
    assert client.delete_endpoint(name) == {}


def test_the_sdk_makes_an_endpoint_with_two_models_that_stand_in_for_each_other(workspace, provider, secret, name):
    made = workspace.serving_endpoints.create_and_wait(
        name=name,
        config=EndpointCoreConfigInput(
            name=name,
            served_entities=[
                sdk_entity("busy", provider, secret, "busy-1"),
                sdk_entity("well", provider, secret),
            ],
            traffic_config=TrafficConfig(
                routes=[
                    Route(served_entity_name="busy", served_model_name="busy", traffic_percentage=100),
                    Route(served_entity_name="well", served_model_name="well", traffic_percentage=0),
                ]
            ),
        ),
    )
    assert (made.state.ready, made.state.config_update) == (
        EndpointStateReady.READY,
        EndpointStateConfigUpdate.NOT_UPDATING,
    )
    assert made.config.served_entities[0].external_model.openai_config.openai_api_key == secret
    client = openai.OpenAI(base_url=f"{URL}/serving-endpoints", api_key=TOKEN, max_retries=0)
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=name, **ASK)
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.response.json()["external_model_message"] == {"error": {"message": "out of quota"}}
    put = workspace.serving_endpoints.put_ai_gateway(name, fallback_config=FallbackConfig(enabled=True))
    assert put.fallback_config == FallbackConfig(enabled=True)
    assert workspace.serving_endpoints.get(name).ai_gateway.fallback_config == FallbackConfig(enabled=True)
    answer = workspace.serving_endpoints.query(name, messages=[ChatMessage(content="hi", role=ChatMessageRole.USER)])
    assert (answer.choices[0].message.content, answer.served_model_name) == ("gpt-4o is well", "well")
    one = workspace.serving_endpoints.update_config_and_wait(
        name, served_entities=[sdk_entity("only", provider, secret, "gpt-5")]
    )
    assert [entity.name for entity in one.config.served_entities] == ["only"]
    assert client.chat.completions.create(model=name, **ASK).choices[0].message.content == "gpt-5 is well"
    workspace.serving_endpoints.delete(name)


def test_openai_streams_with_and_without_usage(workspace, provider, secret, name):
    workspace.serving_endpoints.create(
        name=name, config=EndpointCoreConfigInput(name=name, served_entities=[sdk_entity("talk", provider, secret)])
    )
    client = openai.OpenAI(base_url=f"{URL}/serving-endpoints", api_key=TOKEN)
    plain = list(client.chat.completions.create(model=name, stream=True, **ASK))
    assert all(chunk.choices for chunk in plain)
    told = list(client.chat.completions.create(model=name, stream=True, stream_options={"include_usage": True}, **ASK))
    assert told[-1].usage.total_tokens == 8
    assert "".join(chunk.choices[0].delta.content for chunk in told[:-1]) == "all well"
    workspace.serving_endpoints.delete(name)


def test_embeddings_and_a_key_that_was_given_itself(workspace, provider, name):
    client = get_deploy_client("databricks")
    given = model("text-embedding-3-small", provider, "llm/v1/embeddings", openai_api_key_plaintext=KEY)
    made = client.create_endpoint(name=name, config={"served_entities": [{"external_model": given}]})
    assert KEY not in json.dumps(made)
    assert made["config"]["served_entities"][0]["name"] == "text-embedding-3-small"
    assert client.predict(endpoint=name, inputs={"input": "a"})["data"][0]["embedding"] == [0.5, 1.5]
    assert workspace.serving_endpoints.query(name, input="a").data[0].embedding == [0.5, 1.5]
    client.delete_endpoint(name)


def test_what_is_against_the_rules_is_a_bad_request(workspace, provider, secret, name):
    both = [sdk_entity("talk", provider, secret), ServedEntityInput(entity_name="main.a.b", entity_version="1")]
    with pytest.raises(BadRequest, match="cannot be in one endpoint"):
        workspace.serving_endpoints.create(name=name, config=EndpointCoreConfigInput(name=name, served_entities=both))
    sized = sdk_entity("talk", provider, secret)
    sized.max_provisioned_throughput = 10
    with pytest.raises(BadRequest, match="provisioned throughput is not supported for endpoints with external models"):
        workspace.serving_endpoints.create(
            name=name, config=EndpointCoreConfigInput(name=name, served_entities=[sized])
        )
    sized.min_provisioned_throughput = sized.max_provisioned_throughput = 0
    workspace.serving_endpoints.create(name=name, config=EndpointCoreConfigInput(name=name, served_entities=[sized]))
    workspace.serving_endpoints.delete(name)
