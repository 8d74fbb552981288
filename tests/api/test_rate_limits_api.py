"""Rate limits by the routes that set them."""

import pytest

ROOT = "/api/2.0/serving-endpoints"
CALLS = {"key": "user", "calls": 10, "renewal_period": "minute"}
LIMITS = [
    {"key": "endpoint", "calls": 100, "tokens": 5000, "renewal_period": "minute"},
    {"key": "user", "calls": 10, "renewal_period": "minute"},
    {"key": "user_group", "principal": "blue", "tokens": 0, "renewal_period": "minute"},
    {"key": "service_principal", "principal": "robot", "calls": 3, "renewal_period": "minute"},
]


@pytest.fixture
async def talk(admin):
    answer = await admin.post(ROOT, json={"name": "talk"})
    assert answer.status_code == 200
    return f"{ROOT}/talk"


async def test_the_gateways_limits_are_replaced_as_a_whole_and_shown(admin, talk):
    put = await admin.put(
        f"{talk}/ai-gateway", json={"rate_limits": LIMITS, "usage_tracking_config": {"enabled": False}}
    )
    assert (put.status_code, put.json()) == (200, {"rate_limits": LIMITS})
    assert (await admin.get(talk)).json()["ai_gateway"] == {"rate_limits": LIMITS}
    assert (await admin.get(ROOT)).json()["endpoints"][0]["ai_gateway"] == {"rate_limits": LIMITS}
    put = await admin.put(f"{talk}/ai-gateway", json={"rate_limits": [CALLS]})
    assert put.json() == {"rate_limits": [CALLS]}
    assert (await admin.put(f"{talk}/ai-gateway", json={})).json() == {}
    assert "ai_gateway" not in (await admin.get(talk)).json()


async def test_the_older_limits_are_echoed_once_and_never_shown(admin, talk, store):
    older = [{"key": "endpoint", "calls": 5, "renewal_period": "minute"}, CALLS]
    put = await admin.put(f"{talk}/rate-limits", json={"rate_limits": older})
    assert (put.status_code, put.json()) == (200, {"rate_limits": older})
    assert "ai_gateway" not in (await admin.get(talk)).json()
    async with store.unit() as unit:
        assert [one.calls for one in (await unit.endpoints.by_name("talk")).limits] == [5, 10]
    assert (await admin.put(f"{talk}/rate-limits", json={})).json() == {"rate_limits": []}


async def test_both_forms_are_taken_at_creation(admin, store):
    made = await admin.post(ROOT, json={"name": "new", "ai_gateway": {"rate_limits": LIMITS}})
    assert made.json()["ai_gateway"] == {"rate_limits": LIMITS}
    made = await admin.post(ROOT, json={"name": "old", "rate_limits": [{"calls": "7", "renewal_period": "minute"}]})
    assert "ai_gateway" not in made.json()
    assert "rate_limits" not in made.json()
    async with store.unit() as unit:
        assert (await unit.endpoints.by_name("old")).limits[0].calls == 7
    both = {"name": "both", "rate_limits": [CALLS], "ai_gateway": {"rate_limits": LIMITS}}
    assert (await admin.post(ROOT, json=both)).status_code == 400


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"rate_limits": [{"calls": 1}]}, "ai_gateway.rate_limits[0].renewal_period must be 'minute', but is missing"),
        ({"rate_limits": [{"calls": 1, "renewal_period": "hour"}]}, "must be 'minute', but is 'hour'"),
        (
            {"rate_limits": [{"key": "team", "calls": 1, "renewal_period": "minute"}]},
            "rate_limits[0].key must be one of",
        ),
        ({"rate_limits": [{"renewal_period": "minute"}]}, "rate_limits[0] must have calls or tokens"),
        ({"rate_limits": [{"key": "user_group", "calls": 1, "renewal_period": "minute"}]}, "principal must name"),
        ({"rate_limits": [CALLS, CALLS]}, "is a second limit"),
        ({"guardrails": {"input": {"safety": True}}}, "ai_gateway.guardrails is not supported"),
        ({"guardrails": {"output": {"pii": {"behavior": "BLOCK"}}}}, "ai_gateway.guardrails is not supported"),
        ({"usage_tracking_config": {"enabled": True}}, "ai_gateway.usage_tracking_config is not supported"),
        ({"inference_table_config": {"catalog_name": "c"}}, "ai_gateway.inference_table_config is not supported"),
        ({"fallback_config": {"enabled": True}}, "fallback_config"),
    ],
)
async def test_what_is_wrong_or_does_not_work_yet_is_named(admin, talk, body, told):
    answer = await admin.put(f"{talk}/ai-gateway", json=body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert told in answer.json()["message"]
    assert "ai_gateway" not in (await admin.get(talk)).json()


@pytest.mark.parametrize(
    "body",
    [
        {"guardrails": {"input": {"pii": {"behavior": "NONE"}, "safety": False}, "output": {}}},
        {
            "usage_tracking_config": {"enabled": False},
            "inference_table_config": {"enabled": False, "catalog_name": "c"},
        },
        {"guardrails": None, "rate_limits": []},
    ],
)
async def test_what_is_off_is_taken(admin, talk, body):
    assert (await admin.put(f"{talk}/ai-gateway", json=body)).json() == {}


@pytest.mark.parametrize(
    "limit",
    [
        {"tokens": 5, "renewal_period": "minute"},
        {"key": "user_group", "principal": "blue", "calls": 5, "renewal_period": "minute"},
        {"key": "user", "principal": "ann", "calls": 5, "renewal_period": "minute"},
    ],
)
async def test_the_older_form_has_only_calls_of_everybody_or_each_user(admin, talk, limit):
    answer = await admin.put(f"{talk}/rate-limits", json={"rate_limits": [limit]})
    assert (answer.status_code, "ai_gateway.rate_limits" in answer.json()["message"]) == (400, True)


async def test_who_may_set_limits_and_of_what(admin, user, talk):
    for route in ("ai-gateway", "rate-limits"):
        assert (await user.put(f"{talk}/{route}", json={})).status_code == 403
        assert (await admin.put(f"{ROOT}/none/{route}", json={})).status_code == 404


async def test_the_data_plane_hears_of_them(admin, world, talk):
    await admin.put(f"{talk}/ai-gateway", json={"rate_limits": LIMITS})
    await world.reconciler.step((await admin.get(talk)).json()["id"])
    published = world.table.of("talk")
    assert [one.calls for one in published.limits] == [100, 10, None, 3]
    await admin.put(f"{talk}/ai-gateway", json={})
    await world.reconciler.step((await admin.get(talk)).json()["id"])
    assert world.table.of("talk").limits == ()
