"""One row of a batch: what is asked, as a line of JSON, and the line that answers it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.domain.batch_estimate import Size
from penstock.domain.errors import InvalidRequest
from penstock.domain.model import Task

TASKS = {
    "/v1/chat/completions": Task.CHAT,
    "/v1/completions": Task.COMPLETIONS,
    "/v1/embeddings": Task.EMBEDDINGS,
}
_ASKS = ("messages", "prompt", "input")
MAX_CUSTOM_ID = 512


@dataclass(frozen=True, slots=True)
class Row:
    """A row. `number` counts from 1 with the lines of the file; `url` is empty where the line is a bare body.

    `body` is the request's; `custom_id` the client's own name for the row, made of its number where there is none.
    """

    number: int
    custom_id: str
    url: str
    body: Mapping[str, Any]

    @property
    def content(self) -> bytes:
        """The request's body as it is sent."""
        try:
            return json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError:
            # Half of a surrogate pair has no bytes of its own; whoever is asked says what is wrong with it.
            return json.dumps(self.body, separators=(",", ":")).encode("ascii")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row is in a file, in bytes; `problem` is why it cannot be sent, empty if it can."""

    number: int
    offset: int
    length: int
    digest: str
    size: Size
    custom_id: str = ""
    url: str = ""
    problem: str = ""


def parse(number: int, line: bytes, *, bare: bool) -> Row:
    """The row of a line; a `bare` one may be a request's body alone. Raises InvalidRequest that names line and rule."""
    found = _json(number, line)
    if "body" not in found and "custom_id" not in found:
        if not bare:
            raise _wrong(number, "custom_id is required")
        return Row(number, f"row-{number}", "", _checked(number, found))
    custom_id, body = found.get("custom_id"), found.get("body")
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= MAX_CUSTOM_ID:
        raise _wrong(number, f"custom_id must be a text of 1 to {MAX_CUSTOM_ID} characters")
    if found.get("method", "POST") != "POST":
        raise _wrong(number, 'method must be "POST"')
    url = found.get("url", "" if bare else None)
    if not isinstance(url, str) or (url and url not in TASKS):
        raise _wrong(number, f"url must be one of {', '.join(TASKS)}")
    if not isinstance(body, dict):
        raise _wrong(number, "body must be a JSON object")
    return Row(number, custom_id, url, _checked(number, body))


def _json(number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _wrong(number, f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise _wrong(number, "must be a JSON object")
    return found


def _checked(number: int, body: dict[str, Any]) -> dict[str, Any]:
    if not any(field in body for field in _ASKS):
        raise _wrong(number, f"the body must have one of {', '.join(_ASKS)}")
    if body.get("stream"):
        raise _wrong(number, "stream must not be true: a row has one answer")
    return body


def _wrong(number: int, rule: str) -> InvalidRequest:
    return InvalidRequest(f"Line {number}: {rule}.")


def digest(line: bytes) -> str:
    """Names a line's content, so that an answer is never taken for that of another row."""
    return hashlib.blake2b(line.strip(), digest_size=8).hexdigest()


def answered(row_id: str, custom_id: str, status: int, request_id: str, body: Any) -> dict[str, Any]:
    """The line of an answer, in OpenAI's form. An answer that refuses holds its error in the body."""
    response = {"status_code": status, "request_id": request_id, "body": body}
    return {"id": row_id, "custom_id": custom_id, "response": response, "error": None}


def unanswered(row_id: str, custom_id: str, code: str, message: str) -> dict[str, Any]:
    """The line of a row that got no answer, in OpenAI's form."""
    return {"id": row_id, "custom_id": custom_id, "response": None, "error": {"code": code, "message": message}}
