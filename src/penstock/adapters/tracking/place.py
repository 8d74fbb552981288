"""Where and how MLflow's tracking server is run."""

import sys
from dataclasses import dataclass
from pathlib import Path

from penstock.ports.engine import Launch

APPLICATION = "mlflow.server.fastapi_app:app"
_DATABASE = ("PG",)
"""Variables that the library of PostgreSQL reads: its database may need them."""
PREFIX = "/ml"
"""What all of its paths begin with."""


@dataclass(frozen=True, slots=True)
class Place:
    """How it is run: which Python, its folder, its database, and the folder of artifacts, which it only reads."""

    python: str
    folder: Path
    database: str
    artifacts: Path


def launch_of(place: Place, socket: str) -> Launch:
    """The process to run. What is not tracking is also turned off there, not only closed by our routes."""
    environment = {
        "_MLFLOW_SERVER_FILE_STORE": place.database,
        "_MLFLOW_SERVER_REGISTRY_STORE": place.database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": place.artifacts.as_uri(),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_STATIC_PREFIX": PREFIX,
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    program = Path(__file__).with_name("child.py")
    # Isolated: neither our modules nor the current folder are in its way.
    command = (place.python or sys.executable, "-I", str(program), APPLICATION, socket, str(place.folder))
    log = place.folder / "server.log"
    return Launch(command, tuple(environment.items()), log, stdin_watch=True, inherits=_DATABASE)
