"""Tools and forms with every family's own arithmetic, in 8 bits, and in its own form of chats."""

import json
import os
from pathlib import Path

import pytest
from engine_fakes import byte_level, write_model
from engine_http import post
from family_templates import FORMS
from tiny_families import DBRX, MIXTRAL, MPT, QWEN2, write_family
from tiny_models import LLAMA
from tiny_models import write_model as write_llama

from penstock_engine.loader import load_decoder
from penstock_engine.work import Precision

CONTEXT = 2048
VOCABULARY = 448
CONFIGS = {"Mixtral": MIXTRAL, "MPT": MPT, "DBRX": DBRX, "DeepSeek-R1 distills (Qwen2)": QWEN2}
NATIVE = {"Llama 3": "<|python_tag|>", "Mistral": "[TOOL_CALLS]"}
"""What the newer templates of a form have in them, which then show tools themselves."""
FAMILIES = [
    (name, family, own)
    for name, form in FORMS.items()
    if name != "LlamaGuard"
    for family in form.families
    for own in ((False, True) if name in NATIVE else (False,))
]
SCHEMA = {
    "type": "object",
    "properties": {"river": {"type": "string", "maxLength": 9}, "days": {"type": "integer", "minimum": 1}},
    "required": ["river", "days"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "flow", "parameters": SCHEMA, "strict": True}}
FORM = {"type": "json_schema", "json_schema": {"name": "flow", "schema": SCHEMA}}
ASK = {"messages": [{"role": "user", "content": "How much?"}], "max_tokens": 400, "seed": 3}


def shown(family, column):
    """A cell of docs/models.md, written down if the table is being made."""
    if folder := os.environ.get("MODELS_TABLE"):
        line = {"family": family, "engine": "CPU int8", "column": column, "value": "yes"}
        with (Path(folder) / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


@pytest.fixture
def served(open_text, tmp_path):
    def made(name, family, own):
        config = CONFIGS.get(family, LLAMA)
        longer = {key: CONTEXT for key in ("max_position_embeddings", "max_seq_len") if key in config}
        write = write_family if family in CONFIGS else write_llama
        weights = write(tmp_path / "weights", config | longer | {"vocab_size": VOCABULARY})
        decoder = load_decoder(weights, tmp_path / "cache", Precision.INT8, 64 << 20, lambda _: None)
        mark = NATIVE[name] if own else ""
        source = ("{% if tools %}" + mark + "{{ tools | tojson }}{% endif %}" if own else "") + FORMS[name].source
        return open_text(decoder, folder=write_model(tmp_path / "words", byte_level(), source))

    return made


@pytest.mark.parametrize(("name", "family", "own"), FAMILIES)
async def test_a_family_calls_tools_and_answers_in_a_form(served, name, family, own):
    async with served(name, family, own) as client:
        called = (await post(client, ASK | {"tools": [TOOL], "tool_choice": "required"}))["choices"][0]
        assert called["finish_reason"] == "tool_calls"
        for call in called["message"]["tool_calls"]:
            assert call["function"]["name"] == "flow"
            arguments = json.loads(call["function"]["arguments"])
            assert len(arguments["river"]) <= 9
            assert arguments["days"] >= 1
        shown(family, "tools")
        body = ASK | {"response_format": FORM, "logprobs": True, "top_logprobs": 2}
        held = (await post(client, body))["choices"][0]
        assert held["finish_reason"] == "stop"
        assert set(json.loads(held["message"]["content"])) == {"river", "days"}
        assert bool(held["message"].get("reasoning_content")) is name.startswith("DeepSeek")
        shown(family, "JSON")
        assert all(len(entry["top_logprobs"]) == 2 for entry in held["logprobs"]["content"])
        shown(family, "logprobs")
