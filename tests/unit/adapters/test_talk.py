"""How models talk, by the files of their tokenizers."""

import json

import pytest

from penstock.adapters.engines.talk import talk_of
from penstock.domain.vllm_plan import Talk

TOKENS = json.dumps({"added_tokens": [{"content": "<think>"}, {"content": "[TOOL_CALLS]"}, {"content": "<s>"}]})
FOUND = frozenset({"<think>", "[TOOL_CALLS]"})


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"chat_template.jinja": "a", "tokenizer.json": TOKENS}, Talk(FOUND, "a")),
        ({"tokenizer_config.json": json.dumps({"chat_template": "a"}), "tokenizer.json": TOKENS}, Talk(FOUND, "a")),
        ({"chat_template.json": json.dumps({"chat_template": "a"})}, Talk(frozenset(), "a")),
        ({"tokenizer_config.json": json.dumps({"other": "a"}), "tokenizer.json": "{}"}, Talk()),
        ({"tokenizer_config.json": "nonsense"}, Talk()),
        ({"tokenizer_config.json": "[]"}, Talk()),
        ({}, Talk()),
    ],
)
def test_template_and_tokens_are_read(tmp_path, files, found):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert talk_of(tmp_path) == found


def test_of_several_templates_all_count(tmp_path):
    several = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "</think>"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    assert "</think>" in talk_of(tmp_path).template
