"""Our sandboxed templates against transformers' own, for every family's form."""

import json
import subprocess

import pytest
from conftest import python
from family_templates import FORMS, conversation
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

RENDER = """
import json, sys
from penstock_engine.chat_template import ChatTemplate
for job in json.load(sys.stdin):
    print(json.dumps(ChatTemplate(job["source"], job["names"]).render(job["messages"])))
"""
NAMES = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.fixture(scope="module")
def tokenizer():
    library = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=library, **NAMES)


def test_prompts_equal_the_references(tokenizer, shown):
    asked = [(family, name) for family, form in FORMS.items() for name in form.prompts]
    jobs = [{"source": FORMS[family].source, "names": NAMES, "messages": conversation(name)} for family, name in asked]
    done = subprocess.run(
        [python(), "-c", RENDER], input=json.dumps(jobs), capture_output=True, text=True, timeout=120, check=True
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for (family, name), prompt in zip(asked, found, strict=True):
        expected = tokenizer.apply_chat_template(
            conversation(name), chat_template=FORMS[family].source, tokenize=False, add_generation_prompt=True
        )
        assert prompt == expected == FORMS[family].prompts[name]
    for form in FORMS.values():
        for family in form.families:
            for engine in ("CPU int8", "CPU bf16"):
                shown(family, engine, "chat", "prompts equal")
