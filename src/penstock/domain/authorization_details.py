"""What an access token for one endpoint is asked for with (RFC 9396), in the platform's words."""

import json
from typing import Any

from penstock.domain.errors import InvalidParameter

_TYPE = "workspace_permission"
_OBJECT_TYPE = "serving-endpoints"
_ACTION = "query_inference_endpoint"
_PATH = f"/{_OBJECT_TYPE}/"
_MOST = 4096
_RULE = (
    f'authorization_details must be a list of one {{"type": "{_TYPE}", "object_type": "{_OBJECT_TYPE}", '
    f'"object_path": "{_PATH}<id>", "actions": ["{_ACTION}"]}}, as an endpoint\'s data_plane_info has them.'
)


def detail_of(endpoint_id: str) -> dict[str, object]:
    """What a token that may query the endpoint is good for."""
    return {
        "type": _TYPE,
        "object_type": _OBJECT_TYPE,
        "object_path": f"{_PATH}{endpoint_id}",
        "actions": [_ACTION],
    }


def details_of(endpoint_id: str) -> str:
    """What is to be sent for such a token."""
    return json.dumps([detail_of(endpoint_id)])


def endpoint_in(text: str) -> str:
    """The id of the endpoint that a token is asked for; raises InvalidParameter."""
    try:
        given: Any = json.loads(text) if len(text) <= _MOST else None
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
        raise InvalidParameter(_RULE)
    detail = dict(given[0])
    path = detail.pop("object_path", None)
    wanted = {"type": _TYPE, "object_type": _OBJECT_TYPE, "actions": [_ACTION]}
    if detail != wanted or not isinstance(path, str) or not path.startswith(_PATH):
        raise InvalidParameter(_RULE)
    endpoint_id = path.removeprefix(_PATH)
    if not endpoint_id.isascii() or not endpoint_id.isalnum():
        raise InvalidParameter(_RULE)
    return endpoint_id
