"""Paths of run artifacts and logged models: one storage holds them all, under the paths that MLflow gives them.

mlflow-artifacts:/<path>                                                      the path itself, as MLflow names it
/WorkspaceInternal/Mlflow/Artifacts/<experiment>/Runs/<run>/<rest>            <experiment>/<run>/<rest>
/WorkspaceInternal/Mlflow/Artifacts/<experiment>/LoggedModels/<model>/<rest>  <experiment>/models/<model>/<rest>
"""

from dataclasses import dataclass

from penstock.domain.artifact_path import ArtifactPath, check, check_segment, parse
from penstock.domain.errors import PathNotFound

STORAGE = "mlflow-tracking"
"""The storage; never sealed."""
ROOT = ("WorkspaceInternal", "Mlflow", "Artifacts")
RUNS = "Runs"
LOGGED_MODELS = "LoggedModels"
_FOLDERS = {RUNS: (), LOGGED_MODELS: ("models",)}


@dataclass(frozen=True, slots=True)
class TrackingPath:
    """A file or directory of a run or a logged model. `path` is relative to the storage, `shown` as clients know it."""

    path: str
    shown: str

    def __str__(self) -> str:
        return self.shown


FilePath = ArtifactPath | TrackingPath


def parse_file(path: str) -> FilePath:
    """From a decoded path of the Files API; raises PathNotFound if nothing can be there, InvalidParameter if unsafe."""
    segments = path.removeprefix("/").removesuffix("/").split("/")
    if segments[0] != ROOT[0]:
        return parse(path)
    for segment in segments:
        check_segment(segment)
    experiment, below = segments[len(ROOT) : len(ROOT) + 1], segments[len(ROOT) + 1 :]
    if tuple(segments[: len(ROOT)]) != ROOT or (below and below[0] not in _FOLDERS):
        raise PathNotFound(
            f"No file or directory at '{path[:200]}': artifacts are at /{'/'.join(ROOT)}/<experiment>/{RUNS}/<run>/... "
            f"and /{'/'.join(ROOT)}/<experiment>/{LOGGED_MODELS}/<model>/..."
        )
    folder = _FOLDERS[below[0]] if below else ()
    return TrackingPath(check("/".join([*experiment, *folder, *below[1:]])), f"/{'/'.join(segments)}")


def parse_artifact(path: str) -> TrackingPath:
    """From the decoded path of an `mlflow-artifacts:` address; raises InvalidParameter if it is unsafe."""
    inner = check(path.strip("/"))
    return TrackingPath(inner, f"mlflow-artifacts:/{inner}")
