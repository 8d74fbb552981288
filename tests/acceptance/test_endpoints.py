"""Provisioned endpoints with unmodified clients: the SDK's waiters, MLflow deployments, what users see meanwhile."""

import contextlib
import io
import os
import time
import uuid

import mlflow
import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, NotFound, OperationFailed, ResourceConflict
from databricks.sdk.service.serving import (
    EndpointCoreConfigInput,
    EndpointStateConfigUpdate,
    EndpointStateReady,
    EndpointTag,
    Route,
    ServedEntityInput,
    ServedModelStateDeployment,
    TrafficConfig,
)
from mlflow.deployments import get_deploy_client

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
ASK = {"messages": [{"role": "user", "content": "What is throughput?"}], "max_tokens": 4}


@pytest.fixture(autouse=True)
def client_environment(monkeypatch):
    for name, value in {"DATABRICKS_HOST": URL, "DATABRICKS_TOKEN": TOKEN, "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def workspace():
    return WorkspaceClient(host=URL, token=TOKEN)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The names of two registered models, each with a version 1: Llamas with random weights, logged for chat."""
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers import models as tokenizer_models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", *alphabet])}
    inner = Tokenizer(tokenizer_models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}</s>{% endfor %}"
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
    )  # fmt: skip
    suffix = uuid.uuid4().hex[:8]
    names = [f"main.endpoint_tests.{kind}_{suffix}" for kind in ("first", "second")]
    os.environ.update(DATABRICKS_HOST=URL, DATABRICKS_TOKEN=TOKEN, HF_HUB_OFFLINE="1")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/tracking.db")
    mlflow.set_registry_uri("databricks-uc")
    for name in names:
        with mlflow.start_run(), contextlib.redirect_stdout(io.StringIO()):
            mlflow.transformers.log_model(
                transformers_model={"model": LlamaForCausalLM(config).eval(), "tokenizer": tokenizer},
                name="model",
                task="llm/v1/chat",
                registered_model_name=name,
                save_pretrained=True,
                pip_requirements=["transformers"],
            )
    return names


@pytest.fixture
def name(workspace):
    made = f"test-{uuid.uuid4().hex[:8]}"
    yield made
    with contextlib.suppress(NotFound):
        workspace.serving_endpoints.delete(made)


def entity(model, minimum=1, maximum=100, **more):
    return ServedEntityInput(
        entity_name=model,
        entity_version="1",
        min_provisioned_throughput=minimum,
        max_provisioned_throughput=maximum,
        **more,
    )


def create(workspace, name, *entities, **more):
    config = EndpointCoreConfigInput(name=name, served_entities=list(entities), **more)
    return workspace.serving_endpoints.create_and_wait(name=name, config=config)


def ask(name, model=None, **more):
    path = f"{name}/served-models/{model}" if model else name
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return requests.post(
        f"{URL}/serving-endpoints/{path}/invocations", json={**ASK, **more}, headers=headers, timeout=120
    )


def get(path):
    return requests.get(f"{URL}{path}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60).json()


def test_create_query_update_and_delete(workspace, models, name):
    first, second = models
    made = create(workspace, name, entity(first))
    assert made.state.ready is EndpointStateReady.READY
    assert made.state.config_update is EndpointStateConfigUpdate.NOT_UPDATING
    assert made.config.served_entities[0].state.deployment is ServedModelStateDeployment.DEPLOYMENT_READY
    assert made.pending_config is None
    assert ask(name).status_code == 200
    info = get(f"/api/2.0/serving-endpoints/get-model-optimization-info/{first}/1")
    assert info["optimizable"]
    assert not info["estimated"]

    wait = workspace.serving_endpoints.update_config(name, served_entities=[entity(second)])
    with pytest.raises(ResourceConflict):
        workspace.serving_endpoints.update_config(name, served_entities=[entity(first)])
    answered = 0
    while workspace.serving_endpoints.get(name).state.config_update is EndpointStateConfigUpdate.IN_PROGRESS:
        assert ask(name).status_code == 200, "the old configuration serves meanwhile"
        answered += 1
        time.sleep(0.2)
    assert answered
    updated = wait.result()
    assert updated.config.config_version == 2
    assert updated.id == made.id
    answer = ask(name)
    assert answer.headers["served-model-name"] == f"{second.rsplit('.', 1)[1]}-1"

    workspace.serving_endpoints.delete(name)
    with pytest.raises(NotFound):
        workspace.serving_endpoints.get(name)
    assert ask(name).status_code == 404


def test_two_entities_share_traffic_and_are_addressed_directly(workspace, models, name):
    routes = [Route(served_model_name="a", traffic_percentage=100), Route(served_model_name="b", traffic_percentage=0)]
    made = create(
        workspace,
        name,
        entity(models[0], name="a"),
        entity(models[1], name="b", minimum=0, scale_to_zero_enabled=True),
        traffic_config=TrafficConfig(routes=routes),
    )
    assert [one.name for one in made.config.served_entities] == ["a", "b"]
    assert ask(name).headers["served-model-name"] == "a"
    assert ask(name, "b").headers["served-model-name"] == "b"


def test_an_update_that_cannot_fit_fails_and_says_why(workspace, models, name):
    create(workspace, name, entity(models[0]))
    info = get(f"/api/2.0/serving-endpoints/get-model-optimization-info/{models[0]}/1")
    too_much = 2 * info["throughput_chunk_size"] * info["slices"]
    with pytest.raises((BadRequest, OperationFailed), match=r"throughput is needed|UPDATE_FAILED"):
        workspace.serving_endpoints.update_config_and_wait(
            name, served_entities=[entity(models[0], too_much, too_much)]
        )
    assert ask(name).status_code == 200


def test_a_cancelled_update_leaves_the_old_configuration_serving(workspace, models, name):
    create(workspace, name, entity(models[0]))
    fresh = {
        "entity_name": models[1],
        "entity_version": 1,
        "min_provisioned_throughput": 1,
        "max_provisioned_throughput": 100,
        "weight_precision": "bf16",
    }
    headers = {"Authorization": f"Bearer {TOKEN}"}
    path = f"{URL}/api/2.0/serving-endpoints/{name}"
    requests.put(f"{path}/config", json={"served_entities": [fresh]}, headers=headers, timeout=60).raise_for_status()
    requests.post(f"{path}/config:cancel", headers=headers, timeout=60).raise_for_status()
    with pytest.raises(OperationFailed):
        workspace.serving_endpoints.wait_get_serving_endpoint_not_updating(name)
    state = workspace.serving_endpoints.get(name).state
    assert state.config_update is EndpointStateConfigUpdate.UPDATE_CANCELED
    assert state.ready is EndpointStateReady.READY
    assert ask(name).status_code == 200


def test_logs_and_tags(workspace, models, name):
    made = create(workspace, name, entity(models[0]))
    served = made.config.served_entities[0].name
    assert "built" in workspace.serving_endpoints.build_logs(name, served).logs
    assert "serving" in workspace.serving_endpoints.logs(name, served).logs
    with pytest.raises(NotFound):
        workspace.serving_endpoints.logs(name, "nobody")
    tags = workspace.serving_endpoints.patch(name, add_tags=[EndpointTag(key="team", value="water")])
    assert [(tag.key, tag.value) for tag in tags.tags] == [("team", "water")]


def test_mlflow_deployments(workspace, models, name):
    client = get_deploy_client("databricks")
    client.create_endpoint(
        name=name,
        config={
            "served_entities": [
                {
                    "entity_name": models[0],
                    "entity_version": 1,
                    "min_provisioned_throughput": 0,
                    "max_provisioned_throughput": 100,
                }
            ],
            "tags": [{"key": "team", "value": "water"}],
            "rate_limits": [{"calls": 100, "key": "endpoint", "renewal_period": "minute"}],
        },
    )
    workspace.serving_endpoints.wait_get_serving_endpoint_not_updating(name)
    assert name in [one["name"] for one in client.list_endpoints()]
    assert client.get_endpoint(name)["state"]["ready"] == "READY"
    answer = client.predict(endpoint=name, inputs=ASK)
    assert answer["choices"][0]["message"]["role"] == "assistant"
    client.delete_endpoint(name)
    assert name not in [one["name"] for one in client.list_endpoints()]


def test_a_name_is_free_at_once_and_the_id_is_new(workspace, models, name):
    first = create(workspace, name, entity(models[0]))
    with pytest.raises(ResourceConflict):
        workspace.serving_endpoints.create(
            name=name, config=EndpointCoreConfigInput(name=name, served_entities=[entity(models[0])])
        )
    workspace.serving_endpoints.delete(name)
    assert create(workspace, name, entity(models[0])).id != first.id
