"""Where the files of runs and logged models lie."""

import pytest

from penstock.domain.artifact_path import ArtifactPath
from penstock.domain.errors import InvalidParameter, PathNotFound
from penstock.domain.tracking_path import TrackingPath, parse_artifact, parse_file

ROOT = "/WorkspaceInternal/Mlflow/Artifacts"


@pytest.mark.parametrize(
    ("client", "kept"),
    [
        (f"{ROOT}/7/Runs/r1/artifacts/a.txt", "7/r1/artifacts/a.txt"),
        (f"{ROOT}/7/Runs/r1/artifacts/", "7/r1/artifacts"),
        (f"{ROOT}/7/LoggedModels/m-1/artifacts/MLmodel", "7/models/m-1/artifacts/MLmodel"),
        (f"{ROOT}/7/Runs/models/m-1/artifacts/MLmodel", "7/models/m-1/artifacts/MLmodel"),
        (f"{ROOT}/7/LoggedModels", "7/models"),
        (f"{ROOT}/7", "7"),
        (ROOT, ""),
    ],
)
def test_both_ways_to_a_file_lead_to_one_place(client: str, kept: str):
    found = parse_file(client)
    assert isinstance(found, TrackingPath)
    assert found.path == kept
    assert str(found) == client.rstrip("/")
    assert parse_artifact(kept).path == kept


@pytest.mark.parametrize(
    "path", [f"{ROOT}/7/Others/r1", "/WorkspaceInternal/Mlflow", "/WorkspaceInternal/x/Artifacts/7"]
)
def test_nothing_lies_elsewhere(path: str):
    with pytest.raises(PathNotFound, match="Artifacts/<experiment>/Runs"):
        parse_file(path)


@pytest.mark.parametrize("path", [f"{ROOT}/7/Runs/../x", f"{ROOT}//7", f"{ROOT}/7/Runs/r1/a\0b"])
def test_paths_that_lead_out_are_refused(path: str):
    with pytest.raises(InvalidParameter):
        parse_file(path)
    with pytest.raises(InvalidParameter):
        parse_artifact(path.removeprefix(ROOT).replace("//", "/a//"))


def test_files_of_model_versions_are_where_they_were():
    assert isinstance(parse_file("/Models/main/default/guide/1/MLmodel"), ArtifactPath)
    with pytest.raises(PathNotFound):
        parse_file("/Volumes/main/x")
