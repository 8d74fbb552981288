"""Pages of lists: how many, and where the next begins."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from penstock.domain.errors import InvalidParameter
from penstock.web.json_body import text_problem

_MOST = 2**31 - 1
_Thing = TypeVar("_Thing")


def page_size(asked: int | None, most: int, field: str = "max_results") -> int:
    """How many at most: as asked, but no more than `most`; `most` if nothing or 0 is asked. Raises InvalidParameter."""
    if asked is not None and asked < 0:
        raise InvalidParameter(f"{field} must be 0 (as many as the server gives) or more, but is {asked}.")
    return min(asked or most, most)


def page(
    found: Sequence[_Thing], size: int, key: Callable[[_Thing], str | list[str | int]]
) -> tuple[list[_Thing], str]:
    """The page out of `size + 1` things found, and the token of the next one, '' at the end."""
    shown = list(found[:size])
    if len(found) <= size:
        return shown, ""
    return shown, base64.urlsafe_b64encode(json.dumps(key(shown[-1])).encode()).decode().rstrip("=")


def after_text(token: str | None) -> str:
    """The key in a token that was made from one string; '' without a token. Raises InvalidParameter."""
    key = _key(token) if token else ""
    if not isinstance(key, str) or text_problem(key):
        raise InvalidParameter("page_token is not one that this list gave out.")
    return key


def after_version(token: str | None) -> tuple[str, int] | None:
    """The key in a token that was made from a name and a number; None without a token. Raises InvalidParameter."""
    if not token:
        return None
    match _key(token):
        case [str(name), int(number)] if not text_problem(name) and 0 <= number <= _MOST:
            return name, number
    raise InvalidParameter("page_token is not one that this list gave out.")


def _key(token: str) -> object:
    try:
        return json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise InvalidParameter("page_token is not one that this list gave out.") from error
