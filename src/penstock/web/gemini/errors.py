"""Errors as Google's clients read them."""

from penstock.web.errors import STATUS

_STATUSES = {
    "UNAUTHENTICATED": "UNAUTHENTICATED",
    "PERMISSION_DENIED": "PERMISSION_DENIED",
    "RESOURCE_DOES_NOT_EXIST": "NOT_FOUND",
    "ENDPOINT_NOT_FOUND": "NOT_FOUND",
    "REQUEST_LIMIT_EXCEEDED": "RESOURCE_EXHAUSTED",
    "TEMPORARILY_UNAVAILABLE": "UNAVAILABLE",
    "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED",
    "INTERNAL_ERROR": "INTERNAL",
}
_FAULT = 500


def told(code: str, message: str, status: int | None = None) -> dict[str, object]:
    """An error of the API's code; what is none of the others is the request's. `status` is that of HTTP, if sent."""
    about = {"code": status or STATUS.get(code, _FAULT), "message": message}
    return {"error": about | {"status": _STATUSES.get(code, "INVALID_ARGUMENT")}}
