"""Errors as Anthropic's clients read them, with the API's own fields beside."""

_TYPES = {
    "UNAUTHENTICATED": "authentication_error",
    "PERMISSION_DENIED": "permission_error",
    "RESOURCE_DOES_NOT_EXIST": "not_found_error",
    "ENDPOINT_NOT_FOUND": "not_found_error",
    "REQUEST_LIMIT_EXCEEDED": "rate_limit_error",
    "TEMPORARILY_UNAVAILABLE": "overloaded_error",
    "DEADLINE_EXCEEDED": "timeout_error",
    "INTERNAL_ERROR": "api_error",
}


def told(code: str, message: str, request_id: str) -> dict[str, object]:
    """An error; what is none of the others is the request's."""
    about = {"type": _TYPES.get(code, "invalid_request_error"), "message": message}
    return {"type": "error", "error": about, "request_id": request_id}
