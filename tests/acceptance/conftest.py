"""Models that several files of these tests ask: each is logged, registered and served once, as a user would."""

import contextlib
import os
import sys
import uuid
from pathlib import Path

import mlflow
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import OperationFailed
from mlflow.deployments import get_deploy_client

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
CONTEXT = 512
sys.path.append(str(Path(__file__).parents[2] / "examples" / "notebooks"))  # makers of small models are there


@pytest.fixture(scope="session")
def tokenizer():
    from stand_ins import byte_tokenizer

    return byte_tokenizer("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}")


def llama(tokenizer):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=CONTEXT, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def bert(tokenizer):
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=CONTEXT,
    )  # fmt: skip
    return BertModel(config).eval()


def deploy(model, tokenizer, task, folder):
    """Logs, registers and serves a model as a user would; returns the endpoint's name."""
    suffix = uuid.uuid4().hex[:8]
    name = f"main.data_plane_tests.model_{suffix}"
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_registry_uri("databricks-uc")
    with mlflow.start_run():
        mlflow.transformers.log_model(
            transformers_model={"model": model, "tokenizer": tokenizer}, name="model", task=task,
            registered_model_name=name, save_pretrained=True, pip_requirements=["transformers"],
        )  # fmt: skip
    entity = {
        "entity_name": name,
        "entity_version": "1",
        "min_provisioned_throughput": 0,
        "max_provisioned_throughput": 100,
        "name": "the-entity",
    }
    endpoint = f"data-plane-{suffix}"
    get_deploy_client("databricks").create_endpoint(endpoint, config={"served_entities": [entity]})
    endpoints = WorkspaceClient(host=URL, token=TOKEN).serving_endpoints
    with contextlib.suppress(OperationFailed):
        endpoints.wait_get_serving_endpoint_not_updating(endpoint)
    state = endpoints.get(endpoint)
    assert state.config, state.pending_config
    return endpoint


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"DATABRICKS_HOST": URL, "DATABRICKS_TOKEN": TOKEN, "HF_HUB_OFFLINE": "1"}.items():
            patch.setenv(name, value)
        yield tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def chat(tokenizer, folder):
    return deploy(llama(tokenizer), tokenizer, "llm/v1/chat", folder)


@pytest.fixture(scope="session")
def completions(tokenizer, folder):
    return deploy(llama(tokenizer), tokenizer, "llm/v1/completions", folder)


@pytest.fixture(scope="session")
def embeddings(tokenizer, folder):
    return deploy(bert(tokenizer), tokenizer, "llm/v1/embeddings", folder)
