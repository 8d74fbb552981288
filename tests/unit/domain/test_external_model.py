"""External models as they are asked for: every provider's form, and what is against its rules."""

import pytest

from penstock.domain.addresses import is_public, names_private_host
from penstock.domain.errors import InvalidParameter
from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalModel, default_name, nested, read_model
from penstock.domain.model import Task
from penstock.domain.secret import Hidden, SecretRef

REF = "{{secrets/llm/key}}"
KEY = SecretRef("llm", "key")
AZURE = {
    "openai_api_type": "azure",
    "openai_api_base": "https://one.openai.azure.com/",
    "openai_deployment_name": "gpt",
    "openai_api_version": "2024-10-21",
}
ENTRA = {"microsoft_entra_tenant_id": "t", "microsoft_entra_client_id": "c", "microsoft_entra_client_secret": REF}
GIVEN = {
    "openai": ("openai_config", {"openai_api_key": REF, "openai_organization": "o"}),
    "anthropic": ("anthropic_config", {"anthropic_api_key": REF}),
    "cohere": ("cohere_config", {"cohere_api_key": REF, "cohere_api_base": "https://cohere.example"}),
    "ai21labs": ("ai21labs_config", {"ai21labs_api_key": REF}),
    "amazon-bedrock": (
        "amazon_bedrock_config",
        {
            "aws_region": "us-east-1",
            "bedrock_provider": "Anthropic",
            "aws_access_key_id": REF,
            "aws_secret_access_key": "{{secrets/llm/other}}",
        },
    ),
    "google-cloud-vertex-ai": (
        "google_cloud_vertex_ai_config",
        {"project_id": "p", "region": "us-central1", "private_key": REF},
    ),
    "databricks-model-serving": (
        "databricks_model_serving_config",
        {"databricks_workspace_url": "https://w.example", "databricks_api_token": REF},
    ),
    "custom": (
        "custom_provider_config",
        {"custom_provider_url": "https://c.example/v1", "bearer_token_auth": {"token": REF}},
    ),
}


def read(provider="openai", task="llm/v1/chat", name="gpt-4o", **config):
    key = GIVEN.get(provider, ("openai_config",))[0]
    return read_model(name, provider, task, {key: config})


@pytest.mark.parametrize("provider", GIVEN)
def test_every_provider_is_read_and_told_as_it_was_given(provider):
    key, config = GIVEN[provider]
    model = read_model("m", provider, "llm/v1/chat", {key: config})
    assert (model.provider, model.task, model.form.key) == (ProviderKind(provider), Task.CHAT, key)
    told = nested({**model.fields, **{field: str(ref) for field, ref in model.refs.items()}})
    assert told == config


@pytest.mark.parametrize("provider", GIVEN)
def test_a_key_may_be_given_itself_and_is_hidden(provider):
    key, config = GIVEN[provider]

    def plain(fields):
        return {
            name + "_plaintext" * (value in (REF, "{{secrets/llm/other}}")): "sk-1"
            if value in (REF, "{{secrets/llm/other}}")
            else plain(value)
            if isinstance(value, dict)
            else value
            for name, value in fields.items()
        }

    model = read_model("m", provider, "llm/v1/chat", {key: plain(config)})
    assert set(model.secrets.values()) == {Hidden("sk-1")}
    assert not model.refs
    assert "sk-1" not in repr(model)
    planted = model.planted(dict.fromkeys(model.secrets, KEY))
    assert set(planted.refs.values()) == {KEY}


def test_openai_has_three_types_with_rules_of_their_own():
    assert read(openai_api_key=REF, openai_api_base="http://localhost:1/v1").fields == {
        "openai_api_base": "http://localhost:1/v1"
    }
    assert read(**AZURE, openai_api_key=REF).refs == {"openai_api_key": KEY}
    assert read(**{**AZURE, "openai_api_type": "azuread"}, **ENTRA).refs == {"microsoft_entra_client_secret": KEY}
    for wrong, word in (
        ({"openai_api_key": REF, "openai_api_type": "mine"}, "openai_api_type"),
        ({**AZURE, "openai_api_key": REF, "openai_api_version": ""}, "openai_api_version must be given"),
        ({**AZURE, "openai_api_type": "azuread", "openai_api_key": REF}, "openai_api_key"),
        ({**AZURE, "openai_api_type": "azuread", "microsoft_entra_tenant_id": "t"}, "microsoft_entra_client_id"),
        ({"openai_api_key": REF, "openai_deployment_name": "d"}, "openai_deployment_name"),
    ):
        with pytest.raises(InvalidParameter, match=word):
            read(**wrong)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "exactly one way"),
        ({"openai_api_key": REF, "openai_api_key_plaintext": "sk-secret"}, "not both"),
        ({"openai_api_key": "sk-secret"}, "openai_config.openai_api_key must refer to a secret"),
        ({"openai_api_key": REF, "openai_key": "sk-secret"}, "openai_config.openai_key is not a field"),
        ({"openai_api_key": REF, "openai_api_base": "ftp://host"}, "openai_api_base must be a URL"),
        ({"openai_api_key": REF, "openai_api_base": "https://sk-secret@host"}, "openai_api_base must be a URL"),
        ({"openai_api_key": REF, "openai_api_base": "https://host:99999"}, "openai_api_base must be a URL"),
        ({"openai_api_key": REF, "openai_organization": 7}, "openai_organization must be a text"),
        ({"openai_api_key": REF, "openai_organization": "a\nb"}, "printable"),
    ],
)
def test_what_is_against_a_rule_is_named_and_no_secret_is(given, word):
    with pytest.raises(InvalidParameter, match=word) as caught:
        read(**given)
    assert "sk-secret" not in caught.value.message


def test_what_says_nothing_is_as_if_it_were_not_there():
    model = read(openai_api_key=REF, openai_api_key_plaintext="", openai_organization=None)
    assert (model.fields, model.refs) == ({}, {"openai_api_key": KEY})


def test_one_way_to_authenticate_and_all_of_it():
    bedrock = {"aws_region": "r", "bedrock_provider": "amazon"}
    assert read("amazon-bedrock", **bedrock, instance_profile_arn="arn").fields["instance_profile_arn"] == "arn"
    with pytest.raises(InvalidParameter, match="exactly one way"):
        read("amazon-bedrock", **bedrock, instance_profile_arn="arn", aws_access_key_id=REF)
    with pytest.raises(InvalidParameter, match=r"aws_secret_access_key \(or aws_secret_access_key_plaintext\) must"):
        read("amazon-bedrock", **bedrock, aws_access_key_id=REF)
    with pytest.raises(InvalidParameter, match="bedrock_provider must be one of"):
        read("amazon-bedrock", aws_region="r", bedrock_provider="mistral", instance_profile_arn="arn")
    url = {"custom_provider_url": "https://c.example"}
    with pytest.raises(InvalidParameter, match="exactly one way"):
        read("custom", **url, bearer_token_auth={"token": REF}, api_key_auth={"key": "x-key", "value": REF})
    for header in ("x key", "Host", "content-length"):
        with pytest.raises(InvalidParameter, match=r"api_key_auth\.key must be the name of a header"):
            read("custom", **url, api_key_auth={"key": header, "value": REF})


@pytest.mark.parametrize(
    ("provider", "task", "configs", "word"),
    [
        ("OpenAI", "llm/v1/chat", {}, "provider must be one of openai, "),
        ("aws-bedrock", "llm/v1/chat", {}, "amazon-bedrock"),
        ("openai", "llm/v1/chat", {}, "external_model.openai_config must be given"),
        ("openai", "chat", {"openai_config": {"openai_api_key": REF}}, "task .* must be one of llm/v1/chat"),
        ("openai", "llm/v1/chat", {"anthropic_config": {}, "openai_config": {}}, "must not have anthropic_config"),
        ("anthropic", "llm/v1/embeddings", {"anthropic_config": {"anthropic_api_key": REF}}, "'anthropic' must be one"),
        ("palm", "llm/v1/chat", {"palm_config": {"palm_api_key": REF}}, "its API was shut down"),
        ("palm", "llm/v1/chat", {"palm_config": {}}, "exactly one way"),
    ],
)
def test_providers_tasks_and_configurations_that_do_not_go_together(provider, task, configs, word):
    with pytest.raises(InvalidParameter, match=word):
        read_model("m", provider, task, configs)


def test_the_default_name_is_the_models_with_what_names_may_hold():
    assert default_name("gpt-3.5-turbo") == "gpt-3-5-turbo"
    assert default_name("anthropic.claude-v2:1") == "anthropic-claude-v2-1"
    assert default_name("meta/" + "x" * 80) == "meta-" + "x" * 58


def test_models_compare_by_what_they_say():
    assert read(openai_api_key=REF) == ExternalModel(
        "gpt-4o", ProviderKind.OPENAI, Task.CHAT, {}, {"openai_api_key": KEY}
    )


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:0a00:0001::", "ff02::1", "somewhere",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are_public(address):
    assert is_public(address)


def test_hosts_that_are_private_as_they_are_written():
    for host in ("localhost", "a.localhost.", "127.0.0.1", "[::1]:80", "[fd00::1]", "10.0.0.1:8080"):
        assert names_private_host(f"http://{host}/v1"), host
    for host in ("api.openai.com", "8.8.8.8", "localhost.example"):
        assert not names_private_host(f"https://{host}/v1"), host
