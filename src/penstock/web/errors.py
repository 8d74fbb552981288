"""The one table from the API's error codes to HTTP statuses, and the one shape of error answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.domain.errors import LimitExceeded, Overloaded, PenstockError, ScopeExists, Temporary

STATUS = {
    "BAD_REQUEST": 400,
    "INVALID_PARAMETER_VALUE": 400,
    "MALFORMED_REQUEST": 400,
    "QUOTA_EXCEEDED": 400,
    "RESOURCE_LIMIT_EXCEEDED": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "RESOURCE_ALREADY_EXISTS": 409,
    "RESOURCE_CONFLICT": 409,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "INTERNAL_ERROR": 500,
    "TEMPORARILY_UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_RPC = "type.googleapis.com/google.rpc."
_SCIM_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
_SCIM_TYPES = {
    "INVALID_PARAMETER_VALUE": "invalidValue",
    "MALFORMED_REQUEST": "invalidSyntax",
    "RESOURCE_ALREADY_EXISTS": "uniqueness",
}
# A client parses this as a whole number of seconds, and gives up above two minutes.
MAX_RETRY_AFTER_S = 60


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error as it goes over the wire."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    code: str


def error_body(code: str, message: str, request_id: str = "", facts: Mapping[str, str] | None = None) -> bytes:
    """The JSON of an error; with a request id also where Databricks clients look for it, and facts of a limit."""
    content: dict[str, object] = {"error_code": code, "message": message}
    details: list[dict[str, object]] = []
    if request_id:
        details.append({"@type": _RPC + "RequestInfo", "request_id": request_id, "serving_data": ""})
    if facts:
        details.append(
            {
                "@type": _RPC + "ErrorInfo",
                "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "penstock",
                "metadata": dict(facts),
            }
        )
    if details:
        content["details"] = details
    return json.dumps(content).encode()


def with_request(body: bytes, request_id: str) -> bytes:
    """An engine's error, which knows of no request, with the request's id; any other body as it is."""
    try:
        told = json.loads(body)
    except ValueError:
        return body
    if not isinstance(told, dict) or set(told) != {"error_code", "message"}:
        return body
    return error_body(told["error_code"], told["message"], request_id)


def error_answer(
    code: str,
    message: str,
    request_id: str = "",
    retry_after_s: int | None = None,
    status: int | None = None,
    *,
    facts: Mapping[str, str] | None = None,
) -> ErrorAnswer:
    """An error of a code in `STATUS`, with the status that is there unless another is given."""
    body = error_body(code, message, request_id, facts)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if retry_after_s is not None:
        headers.append((b"retry-after", str(min(max(retry_after_s, 1), MAX_RETRY_AFTER_S)).encode()))
    return ErrorAnswer(status or STATUS[code], tuple(headers), body, code)


def as_scim(answer: ErrorAnswer) -> ErrorAnswer:
    """The same as clients of SCIM expect it: with its fields besides the API's own."""
    content = json.loads(answer.body)
    content |= {"schemas": [_SCIM_ERROR], "detail": content["message"], "status": str(answer.status)}
    kind = _SCIM_TYPES.get(content["error_code"])
    if kind is not None:
        content["scimType"] = "invalidFilter" if content["message"].startswith("filter ") else kind
    body = json.dumps(content).encode()
    headers = [pair for pair in answer.headers if pair[0] != b"content-length"]
    return ErrorAnswer(answer.status, (*headers, (b"content-length", str(len(body)).encode())), body, answer.code)


def answer_to(error: PenstockError, request_id: str = "") -> ErrorAnswer:
    """How an error of the house is answered."""
    retry_after_s = error.retry_after_s if isinstance(error, Overloaded | Temporary) else None
    # The platform has one code for things that exist already, and another status for secrets.
    status = 400 if isinstance(error, ScopeExists) else None
    facts = error.facts if isinstance(error, LimitExceeded) else None
    return error_answer(error.code, error.message, request_id, retry_after_s, status, facts=facts)


def crash_answer(request_id: str) -> ErrorAnswer:
    """How a fault of ours is answered: what happened is in the log, under the request id."""
    return error_answer("INTERNAL_ERROR", f"The request failed inside Penstock; its id is {request_id}.", request_id)
