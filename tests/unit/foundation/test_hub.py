"""The Hugging Face Hub, as it answers downloads."""

import hashlib

import pytest
from hub_server import COMMIT, Repository, checkpoint, git_name

from penstock.adapters.hub.huggingface import HuggingFaceHub
from penstock.domain.errors import DoesNotExist, PenstockError, PermissionDenied, Temporary
from penstock.ports.hub import HubFile

WEIGHTS = "model.safetensors"


def file_of(snapshot, path):
    return next(file for file in snapshot.files if file.path == path)


def test_a_repository_is_told_with_its_commit_sizes_and_sums(server, hub):
    files = checkpoint()
    server.repositories["org/tiny"] = Repository(files)
    found = hub.snapshot("org/tiny", "main")
    assert (found.repository, found.commit) == ("org/tiny", COMMIT)
    weights = file_of(found, WEIGHTS)
    assert weights == HubFile(WEIGHTS, len(files[WEIGHTS]), hashlib.sha256(files[WEIGHTS]).hexdigest())
    assert file_of(found, "tokenizer.json") == HubFile("tokenizer.json", 2, blob=git_name(files["tokenizer.json"]))


def test_a_file_comes_whole(server, hub, tmp_path):
    files = checkpoint()
    server.repositories["org/tiny"] = Repository(files)
    found, came = hub.snapshot("org/tiny", "main"), []
    hub.fetch(found, file_of(found, WEIGHTS), tmp_path / "deep" / WEIGHTS, came.append)
    assert (tmp_path / "deep" / WEIGHTS).read_bytes() == files[WEIGHTS]
    assert sum(came) == len(files[WEIGHTS])
    assert [path.name for path in (tmp_path / "deep").iterdir()] == [WEIGHTS]


def test_a_download_that_was_cut_off_goes_on_where_it_ended(server, hub, tmp_path):
    files = checkpoint()
    server.repositories["org/tiny"] = Repository(files)
    found, came = hub.snapshot("org/tiny", "main"), []
    (tmp_path / f"{WEIGHTS}.part").write_bytes(files[WEIGHTS][:100])
    hub.fetch(found, file_of(found, WEIGHTS), tmp_path / WEIGHTS, came.append)
    assert (tmp_path / WEIGHTS).read_bytes() == files[WEIGHTS]
    assert server.ranges() == [(WEIGHTS, "bytes=100-")]
    assert came[0] == 100
    assert sum(came) == len(files[WEIGHTS])


def test_what_came_whole_but_was_not_checked_is_checked_and_not_asked_for_again(server, hub, tmp_path):
    files = checkpoint()
    server.repositories["org/tiny"] = Repository(files)
    found = hub.snapshot("org/tiny", "main")
    (tmp_path / f"{WEIGHTS}.part").write_bytes(files[WEIGHTS])
    hub.fetch(found, file_of(found, WEIGHTS), tmp_path / WEIGHTS, lambda _count: None)
    assert (tmp_path / WEIGHTS).read_bytes() == files[WEIGHTS]
    assert server.ranges() == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [(WEIGHTS, "its SHA-256 is not the one"), ("config.json", "its SHA-256 is not"), ("tokenizer.json", "its content")],
)
def test_what_is_not_as_announced_is_thrown_away(server, hub, tmp_path, path, problem):
    """Large files by their SHA-256, those that git keeps itself by git's own sum."""
    server.repositories["org/tiny"] = Repository(checkpoint(), lies={path})
    found = hub.snapshot("org/tiny", "main")
    with pytest.raises(PenstockError, match=rf"{path} is damaged: {problem}"):
        hub.fetch(found, file_of(found, path), tmp_path / path, lambda _count: None)
    assert list(tmp_path.iterdir()) == []


def test_a_licence_gate_says_what_to_do(server, hub, tmp_path):
    server.repositories["org/gated"] = Repository(checkpoint(), gate="hf_accepted")
    found = hub.snapshot("org/gated", "main")
    with pytest.raises(
        PermissionDenied, match=rf"open {server.address}/org/gated and accept it there, then set HF_TOKEN"
    ):
        hub.fetch(found, file_of(found, "config.json"), tmp_path / "config.json", lambda _count: None)
    accepted = HuggingFaceHub(server.address, token="hf_accepted")
    accepted.fetch(found, file_of(found, "config.json"), tmp_path / "config.json", lambda _count: None)
    assert (tmp_path / "config.json").exists()


def test_what_is_not_there_is_told(server, hub):
    server.repositories["org/tiny"] = Repository(checkpoint())
    with pytest.raises(DoesNotExist, match="no repository org/other"):
        hub.snapshot("org/other", "main")
    with pytest.raises(DoesNotExist, match="no such revision"):
        hub.snapshot("org/tiny", "v2")
    with pytest.raises(DoesNotExist, match="not the name of a repository"):
        hub.snapshot("org/tiny/more", "main")


@pytest.mark.parametrize(
    ("status", "error", "text"), [(500, Temporary, "status 500"), (403, PermissionDenied, "HF_TOKEN")]
)
def test_a_hub_that_refuses_or_is_ill(server, hub, status, error, text):
    server.status = status
    with pytest.raises(error, match=text):
        hub.snapshot("org/tiny", "main")


def test_a_hub_that_cannot_be_reached(server, tmp_path):
    server.repositories["org/tiny"] = Repository(checkpoint())
    hub = HuggingFaceHub("http://127.0.0.1:9", cache=tmp_path)
    with pytest.raises(Temporary, match="cannot be reached"):
        hub.snapshot("org/tiny", "main")


def test_what_the_librarys_cache_holds_needs_no_hub(hub, tmp_path):
    assert hub.cached("org/tiny", "main") is None
    root = tmp_path / "cache" / "models--org--tiny"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    (root / "snapshots" / COMMIT).mkdir(parents=True)
    (root / "snapshots" / COMMIT / "config.json").write_text("{}")
    assert hub.cached("org/tiny", "main") == root / "snapshots" / COMMIT
