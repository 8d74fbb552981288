"""Which models think before they answer, by the files of their tokenizers."""

import json

import pytest

from penstock.adapters.engines.thoughts import thinks

TOKENS = json.dumps({"added_tokens": [{"content": "<think>"}, {"content": "</think>"}]})
TEMPLATE = "{% if '</think>' in content %}{% endif %}"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"chat_template.jinja": TEMPLATE, "tokenizer.json": TOKENS}, True),
        ({"tokenizer_config.json": json.dumps({"chat_template": TEMPLATE}), "tokenizer.json": TOKENS}, True),
        (
            {"chat_template.json": json.dumps({"chat_template": [{"template": TEMPLATE}]}), "tokenizer.json": TOKENS},
            True,
        ),
        ({"tokenizer_config.json": json.dumps({"added": TEMPLATE}), "tokenizer.json": TOKENS}, False),
        ({"chat_template.jinja": "{{ 1 }}", "tokenizer.json": TOKENS}, False),
        ({"chat_template.jinja": TEMPLATE, "tokenizer.json": "{}"}, False),
        ({"chat_template.jinja": TEMPLATE}, False),
        ({"tokenizer_config.json": "nonsense", "tokenizer.json": TOKENS}, False),
        ({}, False),
    ],
)
def test_the_template_must_know_the_end_and_the_tokenizer_both_tokens(tmp_path, files, found):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert thinks(tmp_path) is found
