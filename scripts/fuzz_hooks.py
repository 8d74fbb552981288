"""Loaded by schemathesis: names of what is there, in place of every other name that it makes up.

Only the names that `fuzz.py` made: what is called by them can be asked for, and what can be spared can be changed.
"""

import zlib
from typing import Any

import schemathesis

MODEL, ENDPOINT, SPARE, ENTITY = "main.fuzz.tiny", "fuzz", "spare", "entity"
FILE = "Models/main/fuzz/tiny/1/MLmodel"
PLANE, ENDPOINTS = "/serving-endpoints/", "/api/2.0/serving-endpoints/"
BY_NOUN = {"/catalogs/": "main", "/schemas/": "main.fuzz", "/profiles/": MODEL, "-optimization-info/": MODEL}
ALWAYS = {
    "full_name": MODEL,
    "securable_type": "function",
    "version": "1",
    "number": "1",
    "entity": ENTITY,
    "served_model": ENTITY,
    "path": FILE,
}


@schemathesis.hook
def before_call(ctx: Any, case: Any, kwargs: Any) -> None:  # noqa: ARG001 - the hook's signature
    """Puts names that there are into half of the requests."""
    path, method = case.operation.path, case.method.upper()
    if isinstance(case.body, dict) and path.startswith(PLANE) and _chosen(case.body, path):
        case.body["model"] = ENDPOINT
    for parameter, value in (case.path_parameters or {}).items():
        if _chosen(value, path):
            known = _known(path, method, parameter)
            case.path_parameters[parameter] = value if known is None else known


def _chosen(value: Any, path: str) -> bool:
    return zlib.crc32(f"{path} {value!r}".encode("utf-8", "replace")) % 2 == 0


def _known(path: str, method: str, parameter: str) -> str | None:
    for noun, name in BY_NOUN.items():
        if noun in path and parameter in ("name", "full_name"):
            return None if method == "DELETE" else name
    if parameter in ("name", "model"):
        asked = path.startswith(PLANE) or (path.startswith(ENDPOINTS) and method == "GET")
        return ENDPOINT if asked else SPARE
    return None if method == "DELETE" else ALWAYS.get(parameter)
