"""The catalogue of foundation models that comes with the program, and what its rules are."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest

from penstock.adapters.foundation.catalogue import load_foundation
from penstock.domain.errors import DoesNotExist, InvalidParameter
from penstock.domain.foundation import Foundation, FoundationModel, Lifecycle, Notice, foundation_of
from penstock.domain.model import Task
from penstock.domain.quota import Quota

SEEDS = {
    "databricks-gte-large-en",
    "databricks-bge-large-en",
    "databricks-meta-llama-3-1-70b-instruct",
    "databricks-meta-llama-3-1-405b-instruct",
    "databricks-dbrx-instruct",
    "databricks-mixtral-8x7b-instruct",
    "databricks-llama-2-70b-chat",
    "databricks-mpt-7b-instruct",
    "databricks-mpt-30b-instruct",
    "databricks-meta-llama-3-70b-instruct",
}
NEWER = {
    "databricks-qwen35-122b-a10b",
    "databricks-qwen3-next-80b-a3b-instruct",
    "databricks-qwen3-embedding-0-6b",
    "databricks-gpt-oss-120b",
    "databricks-gpt-oss-20b",
    "databricks-gemma-3-12b",
    "databricks-llama-4-maverick",
    "databricks-meta-llama-3-3-70b-instruct",
    "databricks-meta-llama-3-1-8b-instruct",
    "databricks-glm-5-2",
    "databricks-glm-5-3",
    "databricks-glm-5-3-flash",
    "databricks-kimi-k3",
    "databricks-deepseek-v4-flash",
    "databricks-deepseek-v4-pro",
    "databricks-inkling",
}
MODEL = FoundationModel(
    name="tiny",
    display_name="Tiny",
    repository="org/tiny",
    family="llama",
    task=Task.CHAT,
    context=64,
    licence="mit",
    endpoint="databricks-tiny",
    aliases=("databricks-tiny-old",),
    input_price=Decimal(1),
    output_price=Decimal(2),
    quota=Quota(1, 2, 3),
)
OLD = replace(
    MODEL,
    name="old",
    display_name="Old",
    endpoint="databricks-old",
    aliases=(),
    lifecycle=Lifecycle.RETIRED,
    ends_on="2025-01-02",
    replacement="tiny",
)


def test_every_model_that_clients_know_is_there():
    endpoints = {one.endpoint for one in load_foundation().models if one.endpoint}
    assert endpoints >= SEEDS | NEWER


def test_what_the_platform_says_of_its_models():
    foundation = load_foundation()
    assert foundation.of("gte_large_en_v1_5").context == 8192
    assert foundation.of("databricks-bge-large-en").context == 512
    dbrx = foundation.of("system.ai.dbrx_instruct")
    assert (dbrx.context, dbrx.lifecycle, dbrx.served) == (16384, Lifecycle.RETIRED, False)
    assert dbrx.system_prompt.startswith("You are DBRX, created by Databricks.")
    assert foundation.of("dbrx_base").base
    assert all("license" in one.notice for one in foundation.models if one.family == "llama" and one.gated)
    with pytest.raises(DoesNotExist, match="penstock models list"):
        foundation.of("gpt-5")


def test_newer_clients_ask_by_the_schema_and_older_ones_by_dated_names():
    aliases = load_foundation().signs().aliases
    assert aliases["system.ai.gte_large_en_v1_5"] == aliases["system.ai.gte-large-en"] == "databricks-gte-large-en"
    assert aliases["system.ai.meta-llama-3-1-8b-instruct"] == "databricks-meta-llama-3-1-8b-instruct"
    assert aliases["databricks-deepseek-v4-flash-0731"] == "databricks-deepseek-v4-flash"
    assert load_foundation().of("system.ai.gte-large-en").name == "gte_large_en_v1_5"


def test_every_model_that_is_available_has_an_endpoint():
    found = [one for one in load_foundation().models if one.lifecycle is Lifecycle.AVAILABLE]
    assert all(one.served is not one.base for one in found)


def test_revisions_are_commits_where_they_are_known():
    revisions = {one.name: one.revision for one in load_foundation().models}
    assert all(re.fullmatch("main|[0-9a-f]{40}", revision) for revision in revisions.values())
    moving = {one.name for one in load_foundation().models if one.revision == "main"}
    assert moving == {"dbrx_base", "dbrx_instruct", "mpt_7b_instruct", "mpt_30b_instruct"}


def test_callers_are_led_to_models_and_told_why_one_is_not_there():
    signs = foundation_of([MODEL, OLD]).signs()
    assert signs.aliases == {
        "databricks-tiny-old": "databricks-tiny",
        "system.ai.tiny": "databricks-tiny",
        "system.ai.old": "databricks-old",
    }
    assert signs.missing("databricks-tiny-old") == (
        "The weights of Tiny ('databricks-tiny') are not on this server: `penstock models pull tiny` brings them."
    )
    assert signs.missing("databricks-old") == (
        "Old ('databricks-old') was retired on 2025-01-02. Use 'databricks-tiny' (Tiny) instead; if it is not here, "
        "`penstock models pull tiny` brings it."
    )
    assert signs.missing("guide") is None
    bare = foundation_of([replace(MODEL, base=True, endpoint="", aliases=())]).signs()
    assert (bare.missing("system.ai.tiny") or "").startswith("system.ai.tiny is a base model")
    assert (
        foundation_of([replace(MODEL, base=True)])
        .signs()
        .undeployable["system.ai.tiny"]
        .startswith("system.ai.tiny is a base model")
    )


def test_deprecated_models_are_served_with_a_word_on_it():
    foundation = foundation_of([MODEL, replace(OLD, lifecycle=Lifecycle.DEPRECATED, notice="Mind the licence.")])
    old = foundation.of("old")
    assert old.served
    assert "deprecated and will be retired on 2025-01-02. Use 'databricks-tiny'" in foundation.description(old)
    assert foundation.description(old).endswith("Mind the licence.")
    assert set(foundation.quotas()) == {"databricks-tiny", "databricks-old"}
    parting = (
        "Old is deprecated and will be retired on 2025-01-02. Use 'databricks-tiny' (Tiny) instead; if it is not here, "
        "`penstock models pull tiny` brings it."
    )
    assert foundation.signs().notices == {"databricks-old": Notice(parting, "2025-01-02")}
    assert foundation.signs().missing("databricks-old").endswith(f"`penstock models pull old` brings them. {parting}")
    assert foundation_of([MODEL]).signs().notices == {}


@pytest.mark.parametrize(
    ("models", "text"),
    [
        ([MODEL, replace(MODEL, endpoint="databricks-other", aliases=())], "the name 'tiny'"),
        ([MODEL, replace(MODEL, name="other")], "the endpoint 'databricks-tiny'"),
        ([replace(MODEL, endpoint="tiny")], "must begin with 'databricks-'"),
        ([replace(MODEL, input_price=None)], "needs prices and limits"),
        ([OLD], "replacement 'tiny' is not a model that is served"),
        ([MODEL, replace(OLD, ends_on="")], "needs the date"),
        ([replace(MODEL, name="a.b")], "specify all three levels"),
    ],
)
def test_a_catalogue_that_is_wrong_is_refused(models, text):
    with pytest.raises(InvalidParameter, match=text):
        foundation_of(models)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("models = 1", r"mine\.toml: models: "),
        ("[[models]]\nname = 'x'\nsize = 3", r"mine\.toml: models\.0\."),
        ("[[models", r"mine\.toml is not TOML"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_key(tmp_path, content, text):
    (tmp_path / "mine.toml").write_text(content)
    with pytest.raises(InvalidParameter, match=text):
        load_foundation(tmp_path)


def test_an_empty_catalogue_is_one():
    assert Foundation().signs().aliases == {}
