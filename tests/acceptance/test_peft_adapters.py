"""LoRA adapters as users make them: trained with PEFT, logged with MLflow, served beside their base model."""

import uuid

import mlflow
import pytest
import torch
from conftest import TOKEN, URL, llama
from databricks.sdk import WorkspaceClient
from peft import LoraConfig, get_peft_model

ASK = [{"role": "user", "content": "What does a penstock feed?"}]
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MOST = 20


@pytest.fixture(scope="module")
def boss():
    return WorkspaceClient(host=URL, token=TOKEN)


@pytest.fixture(scope="module")
def schema():
    return f"main.peft_{uuid.uuid4().hex[:8]}"


def decided(tokenizer):
    """A model that is surer of what it says, so that adapters make a difference."""
    made = llama(tokenizer)
    made.lm_head.weight.data.mul_(20)
    return made


def adapted(tokenizer, base, seed):
    """A model with an adapter that says which registered model it was made for."""
    wanted = LoraConfig(r=4, lora_alpha=32, target_modules=MODULES, init_lora_weights=False)
    model = decided(tokenizer)
    torch.manual_seed(seed)
    made = get_peft_model(model, wanted).eval()
    made.peft_config["default"].base_model_name_or_path = base
    return made


def log(model, tokenizer, name, folder):
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_registry_uri("databricks-uc")
    with mlflow.start_run():
        mlflow.transformers.log_model(
            transformers_model={"model": model, "tokenizer": tokenizer}, name="model", task="llm/v1/chat",
            registered_model_name=name, pip_requirements=["transformers", "peft"],
        )  # fmt: skip


def serve(boss, model):
    """An endpoint, in 16 bits, so that little is rounded."""
    name = f"peft-{uuid.uuid4().hex[:8]}"
    entity = {
        "entity_name": model,
        "entity_version": "1",
        "min_provisioned_throughput": 0,
        "max_provisioned_throughput": 100,
        "weight_precision": "bf16",
    }
    boss.api_client.do(
        "POST", "/api/2.0/serving-endpoints", body={"name": name, "config": {"served_entities": [entity]}}
    )
    boss.serving_endpoints.wait_get_serving_endpoint_not_updating(name)
    return name


def answer(boss, endpoint):
    """The log probabilities of the likeliest first tokens."""
    body = {"messages": ASK, "max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": MOST}
    told = boss.api_client.do("POST", f"/serving-endpoints/{endpoint}/invocations", body=body)
    [first] = told["choices"][0]["logprobs"]["content"]
    return torch.tensor([one["logprob"] for one in first["top_logprobs"]])


def reference(model, tokenizer):
    """What transformers and PEFT say of them."""
    prompt = tokenizer.apply_chat_template(ASK, tokenize=False, add_generation_prompt=True)
    tokens = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    with torch.no_grad():
        return model(**tokens).logits[0, -1].log_softmax(-1).topk(MOST).values


def distance(said, meant):
    return (said - meant).abs().mean().item()


def test_adapters_logged_with_mlflow_answer_as_with_peft_beside_their_base(boss, schema, tokenizer, folder):
    models = {"base": decided(tokenizer)}
    models |= {name: adapted(tokenizer, f"{schema}.base/1", seed) for seed, name in enumerate(("legal", "medical"), 5)}
    endpoints = {}
    for name, model in models.items():
        log(model, tokenizer, f"{schema}.{name}", folder)
        endpoints[name] = serve(boss, f"{schema}.{name}")
    said = {name: answer(boss, endpoint) for name, endpoint in endpoints.items()}
    meant = {name: reference(model, tokenizer) for name, model in models.items()}
    for name in models:
        far = {other: distance(said[name], meant[other]) for other in models}
        own = far.pop(name)
        assert own < 0.15, (own, far)
        assert min(far.values()) > 2 * own, (own, far)
    version = boss.model_versions.get(f"{schema}.legal", 1)
    assert version.status.value == "READY"
    for endpoint in endpoints.values():
        boss.serving_endpoints.delete(endpoint)


def test_an_adapter_whose_base_is_not_here_is_served_with_the_weights_beside_it(boss, schema, tokenizer, folder):
    name, model = f"{schema}.lonely", adapted(tokenizer, f"{schema}.nowhere", 9)
    log(model, tokenizer, name, folder)
    endpoint = serve(boss, name)
    assert distance(answer(boss, endpoint), reference(model, tokenizer)) < 0.15
    boss.serving_endpoints.delete(endpoint)
