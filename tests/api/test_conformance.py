"""The conformance page says what is so: every route and field, the tests that it names, and what is refused."""

import importlib.util
import re
from pathlib import Path

import pytest

from penstock.domain.external_forms import ProviderKind
from penstock.web.databricks import endpoint_bodies, endpoint_setting_bodies, gateway_bodies
from penstock.web.openai import requests

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("conformance", ROOT / "scripts" / "conformance.py")
conformance = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(conformance)
DECLARED = conformance.read()
PARTS = (
    "/api/2.0/serving-endpoints",
    "/serving-endpoints/",
    "/api/2.0/permissions/serving-endpoints",
    "/api/2.0/external-function",
    "/.well-known/",
    "/oidc/",
    "/api/2.0/accounts/",
    "/api/2.0/preview/scim/",
    "/api/2.0/secrets/",
    "/api/2.0/token",
    "/api/2.1/unity-catalog/models",
)
ENDPOINTS = "/api/2.0/serving-endpoints"
ENTITY = {
    "entity_name": "main.default.guide",
    "entity_version": 1,
    "min_provisioned_throughput": 1,
    "max_provisioned_throughput": 9,
}
REFUSED = {
    "ConfigBody.auto_capture_config": {"catalog_name": "main"},
    "EntityBody.environment_vars": {"A": "b"},
    "EntityBody.instance_profile_arn": "arn:aws:iam::1:instance-profile/x",
    "GatewayBody.guardrails": {"input": {"safety": True}},
    "GatewayBody.usage_tracking_config": {"enabled": True},
    "GatewayBody.inference_table_config": {"enabled": True},
    "TelemetryBody.inference_table_config": {"name": "x"},
}
"""A value of each field that is refused."""


def named():
    """Every test that the page names, with the row that names it."""
    rows = [(row[-1], row) for row in [*DECLARED["routes"], *DECLARED["providers"]]]
    rows += [(row[-1], row) for fields in DECLARED["fields"].values() for row in fields]
    return [*rows, *((test, number) for number, (test, _) in DECLARED["traps"].items())]


def test_the_page_is_what_the_declaration_makes():
    assert conformance.PAGE.read_text() == conformance.page(DECLARED), "python scripts/conformance.py"


def test_every_test_that_is_named_is_there():
    text = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)\(", text))
    assert not [(test, row) for test, row in named() if test and test not in there]


def test_every_row_has_a_state_and_what_works_a_test():
    fields = (row for rows in DECLARED["fields"].values() for row in rows)
    for row in [*DECLARED["routes"], *DECLARED["providers"], *fields]:
        *_, state, note, test = row
        assert state in conformance.STATES
        assert bool(test) is (state != "absent"), row
        assert note or state in {"works", "absent"}, row


def test_every_provider_is_there():
    assert [provider for provider, *_ in DECLARED["providers"]] == list(ProviderKind)


def test_every_trap_is_there():
    assert list(DECLARED["traps"]) == [str(number) for number in range(1, 36)]


def test_every_route_of_serving_endpoints_is_declared_as_it_is(site):
    served = {(route.method, route.path.rstrip("/")) for route in site.routes if route.path.startswith(PARTS)}
    declared = {tuple(route.split(" ")): state for _, route, state, _, _ in DECLARED["routes"]}
    assert served == {route for route, state in declared.items() if state != "absent"}


@pytest.mark.parametrize("name", DECLARED["fields"])
def test_every_field_is_declared(name):
    rooms = (endpoint_bodies, endpoint_setting_bodies, gateway_bodies, requests)
    body = next(getattr(room, name) for room in rooms if hasattr(room, name))
    declared = [field for field, *_ in DECLARED["fields"][name]]
    assert len(set(declared)) == len(declared)
    known = set(getattr(body, "model_fields", None) or body.__struct_fields__)
    assert known <= set(declared)
    beyond = {field for field, state, *_ in DECLARED["fields"][name] if field not in known}
    assert all(state == "ignored" for field, state, *_ in DECLARED["fields"][name] if field in beyond)


def body_with(place, field, value):
    """A new endpoint with the field."""
    entity, config, more = dict(ENTITY), {}, {}
    holder = {"EntityBody": entity, "ConfigBody": config}.get(place)
    if holder is None:
        more[{"GatewayBody": "ai_gateway", "TelemetryBody": "telemetry_config"}[place]] = {field: value}
    else:
        holder[field] = value
    return {"name": "one", "config": {"served_entities": [entity], **config}, **more}


async def test_each_refused_field_is_named(admin):
    refused = [(place, row[0]) for place, fields in DECLARED["fields"].items() for row in fields if row[1] == "refused"]
    assert {f"{place}.{field}" for place, field in refused} == set(REFUSED)
    for place, field in refused:
        answer = await admin.post(ENDPOINTS, json=body_with(place, field, REFUSED[f"{place}.{field}"]))
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), field
        assert field in answer.json()["message"]
