"""The description of the API: whole, valid, and with nothing from elsewhere."""

import json
import re

import pytest

from penstock.web.reference.answers import ANSWERS
from penstock.web.reference.page import page


@pytest.fixture
async def document(anonymous):
    answer = await anonymous.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def references(node):
    if isinstance(node, dict):
        yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
        for one in node.values():
            yield from references(one)
    elif isinstance(node, list):
        for one in node:
            yield from references(one)


async def test_every_route_is_described_and_nothing_else(document, site):
    described = {
        (method.upper(), path, one["x-penstock-access"])
        for path, operations in document["paths"].items()
        for method, one in operations.items()
    }
    served = {
        (route.method, re.sub(r":\w+\}", "}", route.path.rstrip("/") or "/"), route.access.value)
        for route in site.routes
    }
    assert described == served


async def test_references_lead_somewhere_and_ids_are_used_once(document):
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= schemas
    ids = [one["operationId"] for operations in document["paths"].values() for one in operations.values()]
    assert len(set(ids)) == len(ids)
    assert document["openapi"].startswith("3.1")


async def test_routes_that_need_a_credential_say_so_and_all_name_their_errors(document):
    for operations in document["paths"].values():
        for one in operations.values():
            assert bool(one["security"]) is (one["x-penstock-access"] in ("user", "admin"))
            assert {"400", "401", "403", "404", "409", "429", "500", "503"} <= set(one["responses"])
            assert "422" not in one["responses"]


async def test_requests_of_the_data_plane_are_described_by_what_checks_them(document):
    chat = document["paths"]["/serving-endpoints/chat/completions"]["post"]
    schema = chat["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/ChatRequest"}
    fields = document["components"]["schemas"]["ChatRequest"]
    assert fields["required"] == ["messages"]
    assert {"messages", "max_tokens", "tools", "response_format", "stream"} <= set(fields["properties"])


async def test_the_page_shows_every_route_and_fetches_nothing(anonymous, document):
    answer = await anonymous.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path in document["paths"]:
        assert f"<code>{path}</code>" in answer.text
    assert not re.findall(r"<script|<link|<img|https?://|url\(", answer.text)


def test_what_is_written_on_the_page_is_text():
    operation = {"tags": ["<b>"], "responses": {}, "x-penstock-access": "user", "summary": "<i>", "parameters": []}
    made = page(
        {"info": {"title": "<x>", "version": "1"}, "paths": {"/<p>": {"get": operation}}, "components": {"schemas": {}}}
    )
    assert not re.findall('<b>|<i>|<x>|<p>"', made)
    assert json.dumps("&lt;i&gt;")[1:-1] in made


def plain(path):
    """As the document has it: without kinds of parameters, and without a slash at the end."""
    return re.sub(r":\w+\}", "}", path.rstrip("/") or "/")


def test_every_route_of_the_control_plane_says_what_it_answers(site):
    others = {(route.method, route.path) for route in site._data_plane.routes}
    control = [route for route in site.routes if (route.method, route.path) not in others]
    assert {f"{route.method} {plain(route.path)}" for route in control} == set(ANSWERS)


async def test_every_answer_and_every_body_has_a_schema(document):
    for path, operations in document["paths"].items():
        relayed = path.startswith(("/api/2.0/mlflow/", "/api/3.0/mlflow/", "/ml/")) and "unity-catalog" not in path
        for method, one in operations.items():
            for body in [*one["responses"].values(), one.get("requestBody", {})]:
                schema = body.get("content", {}).get("application/json", {}).get("schema")
                says = schema is None or {"$ref", "properties", "anyOf"} & set(schema)
                assert says or relayed, (method, path, schema)


async def test_schemas_of_answers_are_closed_and_have_names_of_their_own(document):
    schemas = document["components"]["schemas"]
    assert schemas["ServingEndpointDetailed"]["additionalProperties"] is False
    assert {"ResponsesRequest", "MessagesRequest", "ResponseAnswer", "MessageAnswer", "Error"} <= set(schemas)
    for path, name in (
        ("responses", "ResponsesRequest"),
        ("anthropic/v1/messages", "MessagesRequest"),
        ("gemini/v1beta/models/{model}:generateContent", "GenerateContentRequest"),
        ("gemini/v1beta/models/{model}:streamGenerateContent", "GenerateContentRequest"),
    ):
        asked = document["paths"][f"/serving-endpoints/{path}"]["post"]["requestBody"]
        assert asked["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{name}"}


async def test_every_name_in_a_path_is_a_parameter(document):
    for path, operations in document["paths"].items():
        for one in operations.values():
            declared = [parameter["name"] for parameter in one.get("parameters", ()) if parameter["in"] == "path"]
            assert sorted(declared) == sorted(re.findall(r"\{(\w+)\}", path)), path
