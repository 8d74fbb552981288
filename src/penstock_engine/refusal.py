"""Why a request is not answered.

Refusal                HTTP status and error code of their own
├── BadRequest         400: a parameter is wrong; the message names it and its rule
├── InUse              409: not while requests run with it
├── QueueFull          429: come back later
├── Busy               503: not now
├── Draining           503: the engine is stopping
├── Cancelled          499: somebody cancelled the request
└── StepFailed         500: the model's computation failed
"""

from __future__ import annotations


class Refusal(Exception):
    """A request is not answered; the message is for the caller."""

    status = 500
    code = "INTERNAL_ERROR"
    retry_after: int | None = None
    """Seconds after which trying again makes sense, as a `Retry-After` header."""


class BadRequest(Refusal):
    """A parameter is wrong; the message names it and its rule."""

    status = 400
    code = "BAD_REQUEST"


class InUse(Refusal):
    """Requests run with it, or something else has its name."""

    status = 409
    code = "RESOURCE_CONFLICT"


class QueueFull(Refusal):
    """The waiting queue is full."""

    status = 429
    code = "REQUEST_LIMIT_EXCEEDED"
    retry_after = 1


class Busy(Refusal):
    """Cannot be done now, but soon."""

    status = 503
    code = "TEMPORARILY_UNAVAILABLE"
    retry_after = 1


class Draining(Refusal):
    """The engine finishes what it has and takes nothing new."""

    status = 503
    code = "TEMPORARILY_UNAVAILABLE"
    retry_after = 1


class Cancelled(Refusal):
    """The request was cancelled; 499 is what proxies log for it."""

    status = 499
    code = "CANCELLED"


class StepFailed(Refusal):
    """The model's computation failed; the engine's log has the reason."""

    status = 500
    code = "INTERNAL_ERROR"
