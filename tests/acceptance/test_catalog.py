"""The catalogue with unmodified clients: MLflow in both storage modes and both dialects, and the SDK."""

import contextlib
import filecmp
import io
import os
import random
import uuid
from pathlib import Path

import mlflow
import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, ResourceConflict
from mlflow.exceptions import MlflowException, RestException

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
MODES = {"signed addresses": "false", "files api": "true"}
MIB = 1 << 20


@pytest.fixture(autouse=True)
def client_environment(monkeypatch, tmp_path_factory):
    for name, value in {"DATABRICKS_HOST": URL, "DATABRICKS_TOKEN": TOKEN, "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path_factory.getbasetemp()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/tracking.db")
    mlflow.set_registry_uri("databricks-uc")


@pytest.fixture(params=MODES)
def storage_mode(request, monkeypatch):
    monkeypatch.setenv("MLFLOW_USE_DATABRICKS_SDK_MODEL_ARTIFACTS_REPO_FOR_UC", MODES[request.param])
    return request.param


@pytest.fixture(params=["mlflow dialect", "native dialect"])
def dialect(request, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_UC_NATIVE_MODEL_REGISTRY", str(request.param.startswith("native")).lower())
    return request.param


@pytest.fixture
def workspace():
    return WorkspaceClient(host=URL, token=TOKEN)


@pytest.fixture
def name():
    return f"main.catalog_tests.m_{uuid.uuid4().hex[:8]}"


def registry():
    return mlflow.MlflowClient(registry_uri="databricks-uc")


@pytest.fixture(scope="module")
def small_model():
    """A Llama with random weights, and a tokenizer with a chat template."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128,
    )  # fmt: skip
    return {"model": LlamaForCausalLM(config).eval(), "tokenizer": tokenizer}


def log(small_model, name, **more):
    with mlflow.start_run():
        return mlflow.transformers.log_model(
            transformers_model=small_model,
            name="model",
            task="llm/v1/chat",
            registered_model_name=name,
            pip_requirements=["transformers", "torch"],
            **more,
        )


def make_version(name, folder, **more):
    """A version of one small file."""
    folder.mkdir(parents=True, exist_ok=True)
    column = """'[{"type": "string", "name": "a"}]'"""
    (folder / "MLmodel").write_text(
        f"flavors: {{python_function: {{loader_module: x}}}}\nsignature:\n  inputs: {column}\n  outputs: {column}\n"
    )
    client = registry()
    with contextlib.suppress(MlflowException):  # an earlier version has made it
        client.create_registered_model(name, tags={"team": "water"}, description="made by a test")
    return client._get_registry_client().store.create_model_version(
        name, str(folder), local_model_path=str(folder), **more
    )


def tree(folder):
    return {path.relative_to(folder): path for path in Path(folder).rglob("*") if path.is_file()}


def assert_same(first, second):
    one, other = tree(first), tree(second)
    one.pop(Path("registered_model_meta"), None)
    other.pop(Path("registered_model_meta"), None)
    assert one.keys() == other.keys()
    assert all(filecmp.cmp(one[path], other[path], shallow=False) for path in one)


def test_a_logged_model_is_registered_read_and_downloaded(small_model, name, storage_mode, dialect, tmp_path):
    info = log(small_model, name.upper())
    client = registry()
    version = client.get_model_version(name, "1")
    assert (version.status, str(version.version), version.name) == ("READY", "1", name)
    assert version.run_id == info.run_id
    logged = mlflow.artifacts.download_artifacts(
        info.model_uri, dst_path=str(tmp_path / "logged"), tracking_uri=mlflow.get_tracking_uri()
    )
    for where in ("a", "b"):
        (tmp_path / where).mkdir()
    got = mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=str(tmp_path / "a"))
    assert_same(logged, got)
    client.set_registered_model_alias(name, "Champion", "1")
    again = mlflow.artifacts.download_artifacts(f"models:/{name}@champion", dst_path=str(tmp_path / "b"))
    assert_same(got, again)
    log(small_model, name)
    assert sorted(int(found.version) for found in client.search_model_versions(f"name='{name}'")) == [1, 2]


def test_large_files_go_both_ways_whole(name, storage_mode, tmp_path):
    folder = tmp_path / "model"
    (folder / "deep" / "ein Ordner ä%").mkdir(parents=True)
    large = folder / "deep" / "ein Ordner ä%" / "weights +&?#.bin"
    block = random.Random(5).randbytes(MIB)
    with large.open("wb") as file:
        for number in range(64):
            file.write(number.to_bytes(8, "big") + block)
    (folder / "empty").write_bytes(b"")
    version = make_version(name, folder)
    assert version.status == "READY"
    (tmp_path / "got").mkdir()
    got = mlflow.artifacts.download_artifacts(f"models:/{name}/{version.version}", dst_path=str(tmp_path / "got"))
    assert_same(folder, got)


def test_models_versions_tags_and_aliases_live_and_die(name, dialect, tmp_path):
    client = registry()
    version = str(make_version(name, tmp_path / "m", tags=[], description="first").version)
    model = client.get_registered_model(name)
    assert (model.name, model.description, model.tags) == (name, "made by a test", {"team": "water"})
    client.set_registered_model_tag(name, "stage", "test")
    client.delete_registered_model_tag(name, "team")
    assert client.get_registered_model(name).tags == {"stage": "test"}
    client.set_model_version_tag(name, version, "quality", "good")
    client.set_model_version_tag(name, version, "other", "x")
    client.delete_model_version_tag(name, version, "other")
    assert client.get_model_version(name, version).tags == {"quality": "good"}
    client.set_registered_model_alias(name, "best", version)
    assert client.get_model_version_by_alias(name, "best").version == version
    assert client.get_registered_model(name).aliases == {"best": version}
    client.delete_registered_model_alias(name, "best")
    assert client.get_registered_model(name).aliases == {}
    client.update_registered_model(name, description="changed")
    client.update_model_version(name, version, description="second")
    assert client.get_model_version(name, version).description == "second"
    assert [found.name for found in client.search_registered_models()].count(name) == 1
    client.rename_registered_model(name, f"{name}_new")
    assert client.get_registered_model(f"{name}_new").description == "changed"
    assert client.get_model_version(f"{name}_new", version).status == "READY"
    client.delete_model_version(f"{name}_new", version)
    client.delete_registered_model(f"{name}_new")
    with pytest.raises(RestException, match="RESOURCE_DOES_NOT_EXIST"):
        client.get_registered_model(f"{name}_new")


def test_numbers_go_on_and_names_fold(name, tmp_path):
    first = make_version(name.upper(), tmp_path / "m")
    registry().delete_model_version(name, first.version)
    second = make_version(name, tmp_path / "m")
    assert [first.version, second.version] == ["1", "2"]


def test_two_levels_are_refused_with_a_hint():
    with pytest.raises(MlflowException, match="specify all three levels"):
        registry().create_registered_model("only.two")


def test_the_sdk_walks_the_catalogue(workspace, name, tmp_path):
    number = int(make_version(name, tmp_path / "m").version)
    catalog, schema = f"c_{uuid.uuid4().hex[:8]}", "s"
    assert workspace.catalogs.create(catalog, comment="mine").name == catalog
    assert workspace.schemas.create(schema, catalog).full_name == f"{catalog}.{schema}"
    assert catalog in [found.name for found in workspace.catalogs.list()]
    assert [found.name for found in workspace.schemas.list(catalog)] == [schema]
    with pytest.raises(ResourceConflict):
        workspace.catalogs.create(catalog)
    assert workspace.catalogs.update(catalog, comment="yours").comment == "yours"
    versions = list(workspace.model_versions.list(name))
    assert [(found.version, found.status.value) for found in versions] == [(number, "READY")]
    assert workspace.registered_models.get(name).full_name == name
    workspace.registered_models.set_alias(name, "prod", number)
    assert workspace.model_versions.get_by_alias(name, "prod").version == number
    assert name in [found.full_name for found in workspace.registered_models.list(catalog_name="main")]
    workspace.catalogs.delete(catalog, force=True)
    with pytest.raises(NotFound):
        workspace.catalogs.get(catalog)


def test_finalized_files_are_immutable(workspace, name, tmp_path):
    number = make_version(name, tmp_path / "m").version
    path = f"/Models/{name.replace('.', '/')}/{number}/MLmodel"
    assert workspace.files.get_metadata(path).content_length > 0
    with pytest.raises(ResourceConflict, match="finalized"):
        workspace.files.upload(path, io.BytesIO(b"changed"), overwrite=True)
    with pytest.raises(ResourceConflict, match="finalized"):
        workspace.files.delete(path)
    with pytest.raises(NotFound):
        workspace.files.get_directory_metadata(path)


def resident(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def test_an_upload_takes_no_memory(name, tmp_path):
    """200 MiB through one PUT raise the peak of the server's memory by less than 30 MiB."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    registry().create_registered_model(name)
    base = f"{URL}/api/2.0/mlflow/unity-catalog/model-versions/create"
    assert requests.post(base, json={"name": name, "source": "x"}, headers=headers, timeout=30).status_code == 200
    address = f"{URL}/api/2.0/fs/files/Models/{name.replace('.', '/')}/1"
    assert requests.put(f"{address}/small", data=b"x" * 3 * MIB, headers=headers, timeout=30).status_code == 204
    pid = os.environ["PENSTOCK_PID"]
    before = resident(pid)
    block = os.urandom(MIB)
    body = (block for _ in range(200))
    assert requests.put(f"{address}/large", data=body, headers=headers, timeout=120).status_code == 204
    after_upload = resident(pid)
    with requests.get(f"{address}/large", headers=headers, timeout=120, stream=True) as answer:
        size = sum(len(chunk) for chunk in answer.iter_content(MIB))
    assert size == int(answer.headers["content-length"]) == 200 * MIB
    peaks = [round(each / MIB) for each in (before, after_upload, resident(pid))]
    print(f"peak memory of the server: {peaks} MiB before, after the upload, after the download")
    assert resident(pid) - before < 30 * MIB
