"""What the description says of answers, compared with every answer that the clients of these tests get."""

import re

import httpx
import msgspec

from penstock.web.errors import STATUS
from penstock.web.reference.answers import ANSWERS


class _Error(msgspec.Struct):
    error_code: str
    message: str


def _pattern(route):
    path = re.escape(route.partition(" ")[2]).replace(r"\{path\}", ".+")
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", path) + "/?")


# What has fewer names in its path is looked at first: /pt is no endpoint's name.
ROUTES = [
    (route.partition(" ")[0], _pattern(route), route)
    for route in sorted(ANSWERS, key=lambda route: (route.count("{"), route.endswith("{path}"), -len(route)))
]


def route_of(method, path):
    """The route of the control plane that a request is for, None if it is for no one of them."""
    return next((route for each, pattern, route in ROUTES if each == method and pattern.fullmatch(path)), None)


async def compare(response: httpx.Response) -> None:
    """Raises if the answer is not as it is described; routes that only a test has are let pass."""
    request = response.request
    route = route_of(request.method, request.url.path)
    if route is None:
        return
    content = await response.aread()
    told = ANSWERS[route].get(str(response.status_code), ...)
    if response.status_code >= 400 and told is ...:
        if request.method != "HEAD" and route != "POST /oidc/v1/token":
            assert msgspec.json.decode(content, type=_Error).error_code in STATUS, route
        return
    assert told is not ..., f"{route} is not described with status {response.status_code}: {content[:200]}"
    if told == "":
        assert not content, route
    elif isinstance(told, str):
        kind = response.headers["content-type"].partition(";")[0]
        assert told in ("*/*", kind), f"{route} answers {kind}"
    elif told is not None:
        try:
            msgspec.json.decode(content, type=told)
        except msgspec.ValidationError as error:
            raise AssertionError(f"{route} answers otherwise than described: {error}\n{content[:500]}") from None
