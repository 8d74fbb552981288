"""Wires MLflow's tracking server, which is started when it is first asked."""

import sys
from contextlib import AsyncExitStack
from functools import partial

from penstock.adapters.artifacts.folder import FolderArtifacts
from penstock.adapters.store.companion import companion_url
from penstock.adapters.store.store import SqlStore
from penstock.adapters.tracking.place import Place
from penstock.adapters.tracking.server import MlflowServer
from penstock.domain.tracking_path import STORAGE
from penstock.ports.clock import Clock
from penstock.ports.cluster import Cluster
from penstock.settings import Settings

SCHEMA = "mlflow"
"""Its schema in a PostgreSQL database, beside ours."""


def make_tracking(
    settings: Settings,
    store: SqlStore,
    artifacts: FolderArtifacts,
    cluster: Cluster,
    *,
    clock: Clock,
    stack: AsyncExitStack,
) -> MlflowServer:
    """The server, ended with us."""
    folder = settings.data_dir.absolute() / "mlflow"
    database = companion_url(settings.database_url, SCHEMA, str(folder / "mlflow.db"))
    python = settings.mlflow.python
    place = Place(python, folder, database, artifacts.open_folder(STORAGE))
    server = MlflowServer(
        cluster,
        clock,
        place,
        prepare=partial(store.make_schema, SCHEMA),
        start_s=settings.mlflow.start_timeout_s,
        hint=_hint(python),
    )
    stack.push_async_callback(server.close)
    return server


def _hint(python: str) -> str:
    if python:
        return f"mlflow.python ({python}) has no MLflow. Install it: {python} -m pip install mlflow psycopg2-binary"
    return (
        "Experiments and runs are kept by MLflow's tracking server, which is not installed here. Install it: "
        f"{sys.executable} -m pip install 'penstock[mlflow]'"
    )
