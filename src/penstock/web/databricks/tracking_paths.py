"""What of MLflow's server is open: tracking, and what its pages read. All else that it serves is closed."""

import re
from collections.abc import Iterable

API = "/api/2.0/mlflow"
INFO = "/api/3.0/mlflow/server-info"
UI = "/ml"
AJAX = f"{UI}/ajax-api"
_ID = r"[A-Za-z0-9_-]+"

_TRACKING = {
    "GET": (
        "experiments/(get|get-by-name|search)",
        "runs/get",
        "metrics/(get-history|get-history-bulk-interval)",
        "artifacts/list",
        f"logged-models/{_ID}",
        f"logged-models/{_ID}/artifacts/directories",
    ),
    "POST": (
        "experiments/(create|search|delete|restore|update|set-experiment-tag|delete-experiment-tag)",
        "runs/(create|search|update|delete|restore|set-tag|delete-tag)",
        "runs/(log-parameter|log-metric|log-batch|log-model|log-inputs|outputs)",
        "logged-models",
        "logged-models/search",
        f"logged-models/{_ID}/params",
    ),
    "PATCH": (f"logged-models/{_ID}", f"logged-models/{_ID}/tags"),
    "DELETE": (f"logged-models/{_ID}", f"logged-models/{_ID}/tags/[^/]+"),
}
# The pages also ask for models, traces and data sets, of which there are none here: they get empty lists.
_PAGES = {
    "GET": (
        "2.0/mlflow/metrics/get-history-bulk",
        f"2.0/mlflow/logged-models/{_ID}/artifacts/files",
        "2.0/mlflow/(registered-models|model-versions)/search",
        "3.0/mlflow/server-info",
    ),
    "POST": (
        "2.0/mlflow/experiments/search-datasets",
        "3.0/mlflow/traces/(search|metrics)",
        "3.0/mlflow/datasets/search",
    ),
}


def _compiled(table: dict[str, tuple[str, ...]], prefix: str) -> dict[str, re.Pattern[str]]:
    return {method: re.compile(f"{prefix}/({'|'.join(_grouped(paths))})") for method, paths in table.items()}


def _grouped(paths: Iterable[str]) -> Iterable[str]:
    return (f"(?:{path})" for path in paths)


_OPEN = _compiled(_TRACKING, API)
_OPEN_AJAX = _compiled(_TRACKING, f"{AJAX}/2.0/mlflow")
_OPEN_PAGES = _compiled(_PAGES, AJAX)
_FILES = re.compile(rf"{UI}(/|/static-files/.+|/get-artifact|/version)")


def is_open(method: str, path: str) -> bool:
    """Whether a decoded path of ours is passed on."""
    if path == INFO:
        return method == "GET"
    if path == f"{UI}/graphql":
        return method == "POST"
    if method == "GET" and _FILES.fullmatch(path):
        return True
    tables = (_OPEN, _OPEN_AJAX, _OPEN_PAGES)
    return any(method in table and table[method].fullmatch(path) for table in tables)


def child_path(path: str) -> str:
    """Where MLflow's server has what we have at `path`: all of its own lies below `UI`."""
    return path if path.startswith(f"{UI}/") else f"{UI}{path}"


def page_address(path: str, query: str) -> str:
    """Where the page is that a run's link leads to: /ml/experiments/0/runs/x is shown at /ml/#/experiments/0/runs/x."""
    return f"{UI}/#{path.removeprefix(UI)}{f'?{query}' if query else ''}"
