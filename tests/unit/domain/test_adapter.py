"""How adapters name their bases, and which tasks they serve."""

import pytest

from penstock.domain.adapter import BaseName, base_name, parse_base, served_task
from penstock.domain.catalog import ModelVersion, VersionStatus
from penstock.domain.errors import InvalidParameter
from penstock.domain.model import AdapterFacts, ModelFacts, Task
from penstock.domain.names import ModelName

GUIDE = ModelName("main", "default", "guide")


def version(task=Task.CHAT, base="", **more):
    facts = ModelFacts(task, None, None, 0, 0, 0, None, False, False, None, AdapterFacts(base, 8))
    return ModelVersion(
        model="main.default.legal", number=1, status=VersionStatus.READY, storage="s", source="", facts=facts,
        creator="ann", created_at=1, updated_by="ann", updated_at=1, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("main.default.guide/3", BaseName("main.default.guide/3", GUIDE, 3)),
        ("models:/Main.Default.Guide/3", BaseName("models:/Main.Default.Guide/3", GUIDE, 3)),
        ("main.default.guide", BaseName("main.default.guide", GUIDE)),
        ("meta-llama/Llama-3.1-8B", BaseName("meta-llama/Llama-3.1-8B", repository="meta-llama/Llama-3.1-8B")),
        ("a.b.c/llama", BaseName("a.b.c/llama", repository="a.b.c/llama")),
        ("a.b.c/0", BaseName("a.b.c/0", repository="a.b.c/0")),
        ("gpt2", BaseName("gpt2")),
        ("/home/ann/llama", BaseName("/home/ann/llama")),
        ("here/and/there", BaseName("here/and/there")),
        ("", BaseName("")),
    ],
)
def test_bases_are_known_by_several_kinds_of_names(said, found):
    assert parse_base(said) == found


def test_the_tag_counts_before_the_files():
    assert base_name(version(base="org/name")).repository == "org/name"
    tagged = version(base="org/name", tags=(("base_model", "main.default.guide/2"), ("team", "x")))
    assert base_name(tagged) == BaseName("main.default.guide/2", GUIDE, 2)


@pytest.mark.parametrize(
    ("own", "its", "served"),
    [
        (None, Task.CHAT, Task.CHAT),
        (Task.CHAT, Task.CHAT, Task.CHAT),
        (Task.COMPLETIONS, Task.CHAT, Task.COMPLETIONS),
        (Task.CHAT, Task.COMPLETIONS, None),
        (Task.CHAT, Task.EMBEDDINGS, None),
    ],
)
def test_an_adapter_serves_what_its_base_can(own, its, served):
    if served is not None:
        assert served_task(version(own), version(its)) is served
        return
    with pytest.raises(InvalidParameter, match=f"for {own}, but its base, .*, serves {its}"):
        served_task(version(own), version(its))
