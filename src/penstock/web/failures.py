"""How the control plane answers when something is wrong: always the API's error shape."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from penstock.domain.errors import PenstockError, Unauthenticated
from penstock.web.errors import ErrorAnswer, answer_to, as_scim, crash_answer, error_answer

SCIM = "/api/2.0/preview/scim/"
_PLACES = (("body",), ("query",), ("path",), ("header",))
_log = structlog.stdlib.get_logger("penstock.web")


def answer_failures(app: FastAPI) -> None:
    """Installs the handlers."""
    app.add_exception_handler(PenstockError, _on_ours)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_crash)


def _response(request: Request, answer: ErrorAnswer) -> Response:
    # for the audit log
    request.state.error_code = answer.code
    if request.scope["path"].startswith(SCIM):
        answer = as_scim(answer)
    response = Response(answer.body, answer.status)
    response.raw_headers = list(answer.headers)
    return response


async def _on_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, PenstockError)
    if error.code == "INTERNAL_ERROR":
        _log.error("request failed", exc_info=error)
    response = _response(request, answer_to(error, request.state.request_id))
    if isinstance(error, Unauthenticated) and getattr(request.state, "challenge", False):
        response.headers["www-authenticate"] = 'Basic realm="Penstock", charset="UTF-8"'
    return response


async def _on_crash(request: Request, _error: Exception) -> Response:
    # the boundary logs it
    return _response(request, crash_answer(request.state.request_id))


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    code, message = validation_message(error.errors())
    return _response(request, error_answer(code, message, request.state.request_id))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    method, path = request.method, request.scope["path"]
    code, message = {
        404: ("ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'."),
        405: ("METHOD_NOT_ALLOWED", f"'{path}' does not take {method}."),
    }.get(error.status_code, ("BAD_REQUEST", str(error.detail)))
    response = _response(request, error_answer(code, message, request.state.request_id))
    if error.status_code == 405:  # noqa: PLR2004 - Method Not Allowed
        response.headers.update(error.headers or {})
    return response


def validation_message(problems: Sequence[Any]) -> tuple[str, str]:
    """The error code and the words for what pydantic found: the first field and its rule, and how many more."""
    first = problems[0]
    if first["type"] == "json_invalid":
        return "MALFORMED_REQUEST", f"The request body is not valid JSON: {first['ctx']['error']}."
    place = first["loc"]
    where = ".".join(str(part) for part in (place[1:] if place[:1] in _PLACES else place))
    if not where:
        return "MALFORMED_REQUEST", "The request body must be a JSON object."
    rule = str(first["msg"])
    more = f" ({len(problems) - 1} more fields are wrong.)" if len(problems) > 1 else ""
    return "INVALID_PARAMETER_VALUE", f"{where}: {rule[:1].lower() + rule[1:]}.{more}"
