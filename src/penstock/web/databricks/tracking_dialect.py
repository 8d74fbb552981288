"""What the two ways of tracking say differently, and what may not be said at all. Pure, over bodies and queries.

A client with the tracking URI `databricks` knows artifacts by `dbfs:` addresses and moves them through the Files API;
one with an `http:` URI by `mlflow-artifacts:` addresses. MLflow's server keeps the latter. In JSON a quotation mark
within a text is escaped, so what looks like a member here is one.
"""

import json
import re
from typing import Any
from urllib.parse import urlsplit

from penstock.domain.errors import InvalidParameter, MalformedBody, PermissionDenied
from penstock.domain.tracking_path import parse_artifact

ARTIFACTS = "mlflow-artifacts:/"
DBFS = "dbfs:/databricks/mlflow-tracking/"
DEFAULT_EXPERIMENT = "0"
# MLflow's server takes both spellings.
_LOCATIONS = ("artifact_location", "artifactLocation")
_NO_EXPERIMENT = re.compile(rb'("experiment_?[iI]d"\s*:\s*)"None"')
_NO_EXPERIMENT_IN_LIST = re.compile(rb'("experiment_?[iI]ds"\s*:\s*\[\s*)"None"(\s*\])')
_NO_EXPERIMENT_IN_QUERY = re.compile(r"(^|&)(experiment_id=)None(?=&|$)")
_ADDRESS = re.compile(rb'("(?:artifact_uri|artifact_location|root_uri)"\s*:\s*")mlflow-artifacts:/+((?:[^"\\]|\\.)*")')
_LOGGED_MODEL = re.compile(rb"^([^/\"]+)/models/")


def speaks_databricks(user_agent: str) -> bool:
    """Whether the client is one with the tracking URI `databricks`: its requests go through databricks-sdk."""
    return "databricks-sdk-py/" in user_agent


def body_for_mlflow(body: bytes) -> bytes:
    """The same body, with the experiment of clients that set none."""
    default = DEFAULT_EXPERIMENT.encode()
    body = _NO_EXPERIMENT.sub(rb'\g<1>"%b"' % default, body)
    return _NO_EXPERIMENT_IN_LIST.sub(rb'\g<1>"%b"\g<2>' % default, body)


def query_for_mlflow(query: str) -> str:
    """The same query, with the experiment of clients that set none."""
    return _NO_EXPERIMENT_IN_QUERY.sub(rf"\g<1>\g<2>{DEFAULT_EXPERIMENT}", query)


def new_experiment(body: bytes) -> bytes:
    """The body that makes an experiment, with an artifact location of ours or none.

    Raises InvalidParameter for any other: MLflow's server would read files there that are none of its business.
    """
    given = _object(body)
    return json.dumps({key: _location(value) if key in _LOCATIONS else value for key, value in given.items()}).encode()


def check_graphql(body: bytes) -> None:
    """Raises MalformedBody or InvalidParameter for no query: MLflow's server takes one for a fault of its own."""
    given = _object(body)
    for field, kind in (("query", str), ("variables", dict), ("operationName", str)):
        if not isinstance(given.get(field), kind) and (field == "query" or given.get(field) is not None):
            raise InvalidParameter(f"{field} must be {'an object' if kind is dict else 'a text'}.")


def _object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body or b"{}")
    except ValueError as error:
        raise MalformedBody("The request body is not valid JSON.") from error
    if not isinstance(given, dict):
        raise MalformedBody("The request body must be a JSON object.")
    return given


def _location(value: Any) -> str:
    if value in (None, ""):
        return ""
    for scheme in (ARTIFACTS, DBFS):
        if isinstance(value, str) and value.startswith(scheme):
            path = value.removeprefix(scheme)
            if path and parse_artifact(path).path == path and not set(path) & set("?#%"):
                return f"{ARTIFACTS}{path}"
    raise InvalidParameter(
        f"artifact_location must be empty or a path below {ARTIFACTS} or {DBFS}, but is {str(value)[:200]!r}."
    )


def body_for_databricks(body: bytes) -> bytes:
    """The same answer, with artifacts where clients with the tracking URI `databricks` look for them."""

    def address(found: re.Match[bytes]) -> bytes:
        return found[1] + DBFS.encode() + _LOGGED_MODEL.sub(rb"\g<1>/logged_models/", found[2])

    return _ADDRESS.sub(address, body)


def check_origin(origin: str | None, host: str, public_url: str) -> None:
    """Raises PermissionDenied if another site's page asks a browser to change something here with its user's token."""
    if origin is None:
        return
    ours = {host.lower(), urlsplit(public_url).netloc.lower()} - {""}
    try:
        known = urlsplit(origin).netloc.lower() in ours
    except ValueError:
        known = False
    if not known:
        raise PermissionDenied("Pages of other sites may not change anything here.")
