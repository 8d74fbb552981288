"""The data plane in OpenAPI: schemas made from the same types that requests are checked with."""

from collections.abc import Sequence
from typing import Any

from penstock.domain.model import Task
from penstock.web.anthropic.request import MessagesRequest
from penstock.web.gemini.request import GenerateContentRequest
from penstock.web.guard import Declared
from penstock.web.openai.requests import ChatRequest, CompletionRequest, EmbeddingRequest
from penstock.web.reference.components import Components
from penstock.web.reference.shapes.natives import ContentAnswer, MessageAnswer, ResponseAnswer
from penstock.web.responses.request import ResponsesRequest

JSON = "application/json"
_REQUESTS = {Task.CHAT: ChatRequest, Task.COMPLETIONS: CompletionRequest, Task.EMBEDDINGS: EmbeddingRequest}
_PATHS = {"/chat/completions": Task.CHAT, "/completions": Task.COMPLETIONS, "/embeddings": Task.EMBEDDINGS}
_NATIVE = {
    "/serving-endpoints/responses": (ResponsesRequest, ResponseAnswer),
    "/serving-endpoints/anthropic/v1/messages": (MessagesRequest, MessageAnswer),
    **{
        f"/serving-endpoints/gemini/v1beta/models/{{model}}:{method}": (GenerateContentRequest, ContentAnswer)
        for method in ("generateContent", "streamGenerateContent")
    },
}
TYPES = (*_REQUESTS.values(), *dict.fromkeys(one for both in _NATIVE.values() for one in both))
"""What requests and answers are made of."""
_USAGE = {
    "type": "object",
    "required": ["prompt_tokens", "total_tokens"],
    "properties": {name: {"type": "integer"} for name in ("prompt_tokens", "completion_tokens", "total_tokens")},
}
_ITEMS = {"type": "array", "items": {"type": "object"}}
_GENERATED = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices", "usage"],
    "properties": {
        "id": {"type": "string"},
        "object": {"type": "string"},
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "choices": _ITEMS,
        "usage": _USAGE,
    },
}
_EMBEDDED = {
    "type": "object",
    "required": ["object", "model", "data", "usage"],
    "properties": {"object": {"const": "list"}, "model": {"type": "string"}, "data": _ITEMS, "usage": _USAGE},
}
PREDICTED = {
    "type": "object",
    "required": ["predictions"],
    "properties": {"predictions": {"type": "array"}, "usage": _USAGE},
}
_ROWS = {"type": "array", "items": {"type": "array"}}
_SPLIT = {
    "type": "object",
    "required": ["columns", "data"],
    "properties": {"columns": {"type": "array", "items": {"type": "string"}}, "data": _ROWS},
}
_FORMS = {
    "dataframe_split": _SPLIT,
    "dataframe_records": {"type": "array", "items": {"type": "object"}},
    "inputs": {},
    "instances": {"type": "array"},
}
_STREAM = {"schema": {"type": "string", "description": "Events of one `data:` line each; `data: [DONE]` is the last."}}
_EVENTS = {
    "schema": {"type": "string", "description": "Events of a `data:` line each, most with an `event:` line before."}
}
_HEADERS = {name: {"schema": {"type": "string"}} for name in ("served-model-name", "x-request-id")}
_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}


def schemas() -> dict[str, Any]:
    """The schemas of requests, by name."""
    return Components(_REQUESTS.values()).schemas


def _ref(task: Task) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{_REQUESTS[task].__name__}"}


def form_schemas() -> list[dict[str, Any]]:
    """The forms that requests to custom models have."""
    params = {"params": {"type": "object"}}
    return [
        {"type": "object", "required": [form], "properties": {form: schema, **params}}
        for form, schema in _FORMS.items()
    ]


def request_body(tasks: Sequence[Task], *, forms: bool) -> dict[str, Any]:
    """A request body of any of the tasks, and with `forms` also in those of custom models."""
    bodies = [*(_ref(task) for task in tasks), *(form_schemas() if forms else ())]
    return {"required": True, "content": {JSON: {"schema": bodies[0] if len(bodies) == 1 else {"anyOf": bodies}}}}


def answer(tasks: Sequence[Task], *, forms: bool) -> dict[str, Any]:
    """The answer to such a request."""
    bodies = [_EMBEDDED if task is Task.EMBEDDINGS else _GENERATED for task in tasks]
    bodies += [PREDICTED] if forms else []
    content = {JSON: {"schema": bodies[0] if len(bodies) == 1 else {"anyOf": bodies}}}
    streams = any(task is not Task.EMBEDDINGS for task in tasks)
    return {
        "description": "The answer; a stream of events if `stream` is true." if streams else "The answer.",
        "content": {**content, "text/event-stream": _STREAM} if streams else content,
        "headers": _HEADERS,
    }


def operation(route: Declared, parts: Components) -> dict[str, Any]:
    """A route of the data plane, without the errors that all have."""
    if route.method == "GET":
        return _listing(one="{" in route.path)
    if route.path in _NATIVE:
        return _native(*_NATIVE[route.path], parts)
    task = next((task for path, task in _PATHS.items() if route.path == f"/serving-endpoints{path}"), None)
    if task is not None:
        return {
            "summary": f"Ask the endpoint that `model` names ({task})",
            "requestBody": request_body([task], forms=False),
            "responses": {"200": answer([task], forms=False)},
        }
    tasks = list(_REQUESTS)
    direct = "a served entity of an endpoint, whatever its traffic" if "served-models" in route.path else "an endpoint"
    return {
        "summary": f"Ask {direct}",
        "requestBody": request_body(tasks, forms=True),
        "responses": {"200": answer(tasks, forms=True)},
    }


def _listing(*, one: bool) -> dict[str, Any]:
    listed = {
        "type": "object",
        "required": ["object", "data"],
        "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}},
    }
    content = {JSON: {"schema": _MODEL if one else listed}}
    return {
        "summary": "One endpoint as a model" if one else "Endpoints as models",
        "responses": {"200": {"description": "As OpenAI lists models.", "content": content}},
    }


def _native(request: type, told: type, parts: Components) -> dict[str, Any]:
    """A route in the wire format of another provider."""
    return {
        "summary": "Ask the endpoint that `model` names, in this provider's own format",
        "requestBody": {"required": True, "content": {JSON: {"schema": parts.of(request)}}},
        "responses": {
            "200": {
                "description": "The answer; a stream of events if that is asked for.",
                "content": {JSON: {"schema": parts.of(told)}, "text/event-stream": _EVENTS},
                "headers": _HEADERS,
            }
        },
    }
