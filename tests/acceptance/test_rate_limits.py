"""Rate limits set and met by unmodified clients: the SDK, MLflow deployments, OpenAI."""

import os
import time
import uuid

import openai
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest
from databricks.sdk.service.serving import (
    AiGatewayRateLimit,
    AiGatewayRateLimitKey,
    AiGatewayRateLimitRenewalPeriod,
    AiGatewayUsageTrackingConfig,
    RateLimit,
    RateLimitKey,
    RateLimitRenewalPeriod,
)
from mlflow.deployments import get_deploy_client

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
MINUTE = AiGatewayRateLimitRenewalPeriod.MINUTE


@pytest.fixture(autouse=True)
def client_environment(monkeypatch):
    for name, value in {"DATABRICKS_HOST": URL, "DATABRICKS_TOKEN": TOKEN}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def workspace():
    return WorkspaceClient(host=URL, token=TOKEN)


@pytest.fixture
def bare(workspace):
    """The name of an endpoint that serves nothing."""
    name = f"limits_{uuid.uuid4().hex[:8]}"
    workspace.api_client.do("POST", "/api/2.0/serving-endpoints", body={"name": name})
    yield name
    workspace.serving_endpoints.delete(name)


def test_the_sdk_puts_both_kinds(workspace, bare):
    limits = [
        AiGatewayRateLimit(calls=50, tokens=1000, key=AiGatewayRateLimitKey.ENDPOINT, renewal_period=MINUTE),
        AiGatewayRateLimit(tokens=10, key=AiGatewayRateLimitKey.USER_GROUP, principal="x", renewal_period=MINUTE),
    ]
    assert workspace.serving_endpoints.put_ai_gateway(bare, rate_limits=limits).rate_limits == limits
    assert workspace.serving_endpoints.get(bare).ai_gateway.rate_limits == limits
    [listed] = [one for one in workspace.serving_endpoints.list() if one.name == bare]
    assert listed.ai_gateway.rate_limits == limits
    older = [RateLimit(calls=5, key=RateLimitKey.USER, renewal_period=RateLimitRenewalPeriod.MINUTE)]
    assert workspace.serving_endpoints.put(bare, rate_limits=older).rate_limits == older
    assert workspace.serving_endpoints.get(bare).ai_gateway is None
    with pytest.raises(BadRequest, match="usage_tracking_config"):
        workspace.serving_endpoints.put_ai_gateway(
            bare, usage_tracking_config=AiGatewayUsageTrackingConfig(enabled=True)
        )


def test_mlflow_updates_only_the_limits(bare):
    limits = [{"calls": 7, "key": "endpoint", "renewal_period": "minute"}]
    told = get_deploy_client("databricks").update_endpoint(endpoint=bare, config={"rate_limits": limits})
    assert told["rate_limits"] == limits


def test_openai_meets_a_limit(workspace, chat):
    limits = [AiGatewayRateLimit(calls=2, tokens=100_000, renewal_period=MINUTE)]
    workspace.serving_endpoints.put_ai_gateway(chat, rate_limits=limits)
    client = openai.OpenAI(base_url=f"{URL}/serving-endpoints", api_key=TOKEN, max_retries=0)
    asked = {"model": chat, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    try:
        time.sleep(1)
        for left in (1, 0):
            answer = client.chat.completions.with_raw_response.create(**asked)
            assert answer.headers["x-ratelimit-limit-requests"] == "2"
            assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
            assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 100_000
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(**asked)
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
        assert caught.value.body["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        [facts] = [one for one in caught.value.body["details"] if one["@type"].endswith("ErrorInfo")]
        assert facts["metadata"]["limit"] == "2"
    finally:
        workspace.serving_endpoints.put_ai_gateway(chat)
