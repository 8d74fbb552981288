"""What `penstock models` does: models come from the hub or a folder, and go."""

import json
import os
import re
import subprocess
import sys

import pytest
from hub_server import COMMIT, Repository, checkpoint
from typer.testing import CliRunner

from penstock.adapters.foundation.catalogue import load_foundation
from penstock.adapters.foundation.shelf import FolderShelf
from penstock.adapters.models.reader import read_facts
from penstock.cli import models_run
from penstock.cli.main import app
from penstock.control.pulls import Pulls, Watch, moved
from penstock.domain.errors import Conflict, DoesNotExist, InvalidParameter, PenstockError, QuotaExceeded, Temporary
from penstock.domain.model import Task
from penstock.testing.clock import FakeClock

NAME, REPOSITORY = "meta_llama_v3_1_8b_instruct", "meta-llama/Llama-3.1-8B-Instruct"
PINNED = load_foundation().of(NAME).revision


class Seen:
    """Notes what is told of a pull."""

    def __init__(self):
        self.size, self.came, self.files = 0, 0, []
        self.watch = Watch(self._begin, self._came, self.files.append)

    def _begin(self, _name, size):
        self.size = size

    def _came(self, count):
        self.came += count


@pytest.fixture
def shelf(tmp_path):
    return FolderShelf(tmp_path / "shelf")


@pytest.fixture
def pulls(shelf, hub):
    return Pulls(load_foundation(), shelf, lambda: hub, FakeClock())


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "mine"
    made.mkdir()
    for path, content in checkpoint().items():
        (made / path).write_bytes(content)
    return made


def test_a_model_comes_from_the_hub_ready_to_be_served(server, shelf, pulls, tmp_path):
    files = checkpoint(
        **{"pytorch_model.bin": b"x", "original/consolidated.00.pth": b"x", "consolidated.safetensors": b"x"}
    )
    server.repositories[REPOSITORY] = Repository(files)
    seen = Seen()
    mark = pulls.pull(NAME, seen.watch)
    assert (mark.name, mark.source) == (NAME, f"{server.address}/{REPOSITORY}@{PINNED}")
    assert (mark.revision, mark.commit) == (PINNED, PINNED)
    kept = set(files) - {"pytorch_model.bin", "original/consolidated.00.pth", "consolidated.safetensors"}
    assert {path for path, _ in shelf.arrived(NAME)} == {"MLmodel", *(f"model/{path}" for path in kept)}
    assert seen.size == seen.came == mark.size == sum(len(files[path]) for path in kept)
    assert seen.files[-1] == "model.safetensors"
    assert shelf.marks() == {NAME: mark}
    facts = read_facts(tmp_path / "shelf" / NAME)
    assert (facts.task, facts.problem) == (Task.CHAT, None)


def test_a_pull_that_ended_early_brings_the_rest_only(server, shelf, pulls):
    server.repositories[REPOSITORY] = Repository(checkpoint(), lies={"model.safetensors"})
    with pytest.raises(PenstockError, match="damaged"):
        pulls.pull(NAME, Seen().watch)
    assert shelf.marks() == {}
    assert list(shelf.arrived(NAME)) == []
    server.repositories[REPOSITORY].lies.clear()
    server.asked.clear()
    seen = Seen()
    pulls.pull(NAME, seen.watch)
    assert [path for path, _ in server.ranges()] == ["model.safetensors"]
    assert seen.came == seen.size


def test_what_is_here_already_is_not_brought_again(server, shelf, pulls):
    server.repositories[REPOSITORY] = Repository(checkpoint())
    mark = pulls.pull(NAME, Seen().watch)
    shelf.taken(NAME)
    server.asked.clear()
    assert pulls.pull(NAME, Seen().watch) == mark
    assert server.ranges() == []


def test_a_branch_that_has_moved_is_told_and_its_new_commit_comes(server, pulls):
    repository = server.repositories[REPOSITORY] = Repository(checkpoint())
    first = pulls.pull(NAME, Seen().watch, revision="main")
    assert (first.revision, first.commit) == ("main", COMMIT)
    assert moved(None, first) == moved(first, first) == ""
    repository.head = "beef" * 10
    second = pulls.pull(NAME, Seen().watch, revision="main")
    assert second.source == f"{server.address}/{REPOSITORY}@{repository.head}"
    assert moved(first, second) == "'main' has moved: it was c0ffeec, which was here, and is beefbee now."
    third = pulls.pull(NAME, Seen().watch)
    assert moved(second, third) == ""


def test_a_model_comes_from_a_folder(shelf, pulls, folder, server):
    mark = pulls.pull(NAME, Seen().watch, folder=folder)
    assert re.fullmatch(rf"folder:{folder}@[0-9a-f]{{12}}", mark.source)
    assert (mark.revision, mark.commit) == ("", "")
    assert ("model/config.json", (folder / "config.json").read_bytes()) in [
        (path, file.read_bytes()) for path, file in shelf.arrived(NAME)
    ]
    assert server.asked == []
    with pytest.raises(InvalidParameter, match="is not a folder"):
        pulls.pull(NAME, Seen().watch, folder=folder / "config.json")


def test_a_folder_that_is_as_it_was_is_not_copied_again_and_one_that_is_not_is_another_source(shelf, pulls, folder):
    first = pulls.pull(NAME, Seen().watch, folder=folder)
    shelf.taken(NAME)
    assert pulls.pull(NAME, Seen().watch, folder=folder) == first
    assert list(shelf.arrived(NAME)) == []
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    os.utime(weights, ns=(0, 1_700_000_000_000_000_000))
    second = pulls.pull(NAME, Seen().watch, folder=folder)
    assert second.source != first.source
    assert dict(shelf.arrived(NAME))["model/model.safetensors"].read_bytes() == weights.read_bytes()


def test_nothing_is_looked_for_deep_in_a_folder(pulls, folder, tmp_path):
    with pytest.raises(InvalidParameter, match="has no weights in safetensors format"):
        pulls.pull(NAME, Seen().watch, folder=tmp_path)


def test_without_the_hub_its_cache_is_looked_into(server, pulls, tmp_path):
    server.status = 500
    with pytest.raises(Temporary, match="status 500"):
        pulls.pull(NAME, Seen().watch)
    root = tmp_path / "cache" / f"models--{REPOSITORY.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    (root / "snapshots" / COMMIT).mkdir(parents=True)
    for path, content in checkpoint().items():
        (root / "snapshots" / COMMIT / path).write_bytes(content)
    mark = pulls.pull(NAME, Seen().watch, revision="main")
    assert (mark.source, mark.commit) == (f"{server.address}/{REPOSITORY}@{COMMIT}", COMMIT)


def test_what_cannot_be_served_does_not_come(server, pulls):
    pickled = {path: content for path, content in checkpoint().items() if path != "model.safetensors"}
    server.repositories[REPOSITORY] = Repository({**pickled, "pytorch_model.bin": b"x"})
    with pytest.raises(InvalidParameter, match=r"pickle format only \(pytorch_model.bin\).*save_pretrained\(FOLDER\)"):
        pulls.pull(NAME, Seen().watch)
    server.repositories[REPOSITORY] = Repository({"model.safetensors": b"x"})
    with pytest.raises(InvalidParameter, match=r"no config\.json"):
        pulls.pull(NAME, Seen().watch)
    with pytest.raises(DoesNotExist, match="no foundation model 'other'"):
        pulls.pull("other", Seen().watch)
    assert server.ranges() == []


def test_a_disk_without_room_is_told_before_anything_comes(server, shelf, pulls, monkeypatch):
    server.repositories[REPOSITORY] = Repository(checkpoint())
    monkeypatch.setattr("penstock.adapters.foundation.shelf.FolderPlace.room", lambda _self: 10)
    with pytest.raises(QuotaExceeded, match="GB left"):
        pulls.pull(NAME, Seen().watch)
    assert server.ranges() == []


def test_two_commands_do_not_bring_the_same(shelf, pulls, folder):
    with shelf.place(NAME), pytest.raises(Conflict, match="Another command"):
        pulls.pull(NAME, Seen().watch, folder=folder)


def test_a_model_goes(shelf, pulls, folder):
    pulls.pull(NAME, Seen().watch, folder=folder)
    assert pulls.remove("databricks-meta-llama-3-1-8b-instruct").name == NAME
    assert shelf.marks() == {}
    assert list(shelf.arrived(NAME)) == []
    with pytest.raises(DoesNotExist, match="is not on this machine"):
        pulls.remove(NAME)


def test_a_mark_that_is_damaged_is_none(shelf, pulls, folder, tmp_path):
    pulls.pull(NAME, Seen().watch, folder=folder)
    (tmp_path / "shelf" / f"{NAME}.json").write_text("{")
    assert shelf.marks() == {}


def test_the_command(server, hub, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(models_run, "_hub", lambda: hub)
    monkeypatch.setenv("COLUMNS", "250")

    def run(*words):
        done = CliRunner().invoke(app, ["models", *words, "--data-dir", str(tmp_path / "data")])
        return done.exit_code, done.output

    embedder = {
        **json.loads(checkpoint()["config.json"]),
        "model_type": "bert",
        "architectures": ["BertModel"],
        "type_vocab_size": 2,
    }
    files = checkpoint(**{"config.json": json.dumps(embedder).encode()})
    server.repositories["BAAI/bge-large-en-v1.5"] = Repository(files)
    status, said = run("pull", "bge_large_en_v1_5")
    assert status == 0, said
    assert "endpoint 'databricks-bge-large-en'" in said
    status, said = run("list")
    assert status == 0
    assert re.search(r"bge_large_en_v1_5 .*databricks-bge-large-en .*embeddings .*512 .*mit .*\d bytes, d4aa690 ", said)
    assert re.search(r"dbrx_instruct .*not here; retired 2025-04-30, use llama_v3_3_70b_instruct", said)
    assert said.index("bge_large_en_v1_5") < said.index("glm-5-2") < said.index("dbrx_instruct")
    assert run("list", "--here")[1].count("bytes") == 1
    assert "was here already" in run("pull", "bge_large_en_v1_5")[1]
    assert "moved" not in run("pull", "bge_large_en_v1_5", "--revision", "main")[1]
    server.repositories["BAAI/bge-large-en-v1.5"].head = "beef" * 10
    assert "'main' has moved: it was c0ffeec" in run("pull", "bge_large_en_v1_5", "--revision", "main")[1]
    assert run("remove", "bge_large_en_v1_5")[0] == 0
    assert run("list", "--here")[1].count("bytes") == 0
    status, said = run("pull", "databricks-gte-large-en")
    assert status == 1
    assert "no repository Alibaba-NLP/gte-large-en-v1.5" in said
    assert "0/?" not in said
    assert "Did you mean 'gte_large_en_v1_5'?" in run("pull", "gte_large_en_v1.5")[1]


def test_names_are_whole_in_a_narrow_terminal(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    said = CliRunner().invoke(app, ["models", "list", "--data-dir", str(tmp_path / "data")]).output
    for one in load_foundation().models:
        assert f" {one.name} " in said
        assert not one.served or f" {one.endpoint} " in said


def test_a_pull_of_what_cannot_be_served_says_so(folder, tmp_path):
    words = ["models", "pull", "bge_large_en_v1_5", "--from", str(folder), "--data-dir", str(tmp_path / "data")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "has the model 'system.ai.bge_large_en_v1_5' within seconds" in done.output
    assert "It cannot be served: A llama model serves llm/v1/chat or llm/v1/completions" in done.output


def test_a_card_tells_what_the_catalogue_says(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")

    def run(*words):
        done = CliRunner().invoke(app, ["models", *words, "--data-dir", str(tmp_path / "data")])
        return done.exit_code, done.output

    assert run("pull", NAME, "--from", str(folder))[0] == 0
    status, said = run("show", "system.ai.meta-llama-3-1-8b-instruct")
    assert status == 0, said
    for words in (
        f"folder:{folder}",
        f"{REPOSITORY} at {PINNED}; its licence is accepted there",
        "databricks-meta-llama-3-1-8b-instruct, system.ai.meta_llama_v3_1_8b_instruct, system.ai.meta-llama-3-1-8b",
        "6,000 calls, 1,000,000 tokens in and 100,000 out per minute",
        "USD 0.15 and 0.45",
    ):
        assert words in said
    said = run("show", "dbrx_instruct")[1]
    assert "was retired on 2025-04-30. Use 'databricks-meta-llama-3-3-70b-instruct'" in said
    assert "You are DBRX, created by Databricks." in said
    assert "limits" not in said
    assert run("show", "other")[0] == 1


def test_the_librarys_own_variables_say_where_the_hub_is_and_who_asks(server, tmp_path):
    """The command in a process of its own: the library reads its variables when it is imported."""
    server.repositories[REPOSITORY] = Repository(checkpoint(), gate="hf_accepted")
    words = ["models", "pull", NAME, "--data-dir", str(tmp_path / "data")]
    program = [sys.executable, "-c", "from penstock.cli.main import app; app()", *words]

    def run(**variables):
        given = {"HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "home"), **variables}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | given
        return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120, check=False)

    refused = run()
    assert refused.returncode == 1
    assert f"open {server.address}/{REPOSITORY} and accept it there" in refused.stderr
    offline = run(HF_HUB_OFFLINE="1", HF_TOKEN="hf_accepted")
    assert offline.returncode == 1
    done = run(HF_TOKEN="hf_accepted")
    assert done.returncode == 0, done.stderr
    assert f"{server.address}/{REPOSITORY}@{PINNED}" in done.stdout.replace("\n", "")
