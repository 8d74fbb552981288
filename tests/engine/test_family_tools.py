"""Tools and forms with every family's own arithmetic, in 8 and 16 bits, and in its own form of chats."""

import pytest
from engine_fakes import byte_level, write_model
from engine_http import post
from family_answers import CALL, HELD, check_call, check_held
from family_templates import FORMS
from shown_cells import shown
from tiny_families import DBRX, MIXTRAL, MPT, QWEN2, write_family
from tiny_models import LLAMA
from tiny_models import write_model as write_llama

from penstock_engine.build import build
from penstock_engine.errors import UnsupportedModel
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
    for family in form.families
    for own in ((False, True) if name in NATIVE else (False,))
]


def write_weights(folder, family):
    config = CONFIGS.get(family, LLAMA)
    longer = {key: CONTEXT for key in ("max_position_embeddings", "max_seq_len") if key in config}
    write = write_family if family in CONFIGS else write_llama
    return write(folder, config | longer | {"vocab_size": VOCABULARY})


@pytest.fixture
def served(open_text, tmp_path):
    def made(name, family, precision, own):
        weights = write_weights(tmp_path / "weights", family)
        decoder = load_decoder(weights, tmp_path / "cache", precision, 64 << 20, lambda _: None)
        mark = NATIVE[name] if own else ""
        source = ("{% if tools %}" + mark + "{{ tools | tojson }}{% endif %}" if own else "") + FORMS[name].source
        return open_text(decoder, folder=write_model(tmp_path / "words", byte_level(), source))

    return made


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.BF16])
@pytest.mark.parametrize(("name", "family", "own"), FAMILIES)
async def test_a_family_calls_tools_and_answers_in_a_form(served, name, family, own, precision):
    async with served(name, family, precision, own) as client:
        check_call((await post(client, CALL))["choices"][0])
        shown(family, f"CPU {precision}", "tools", "called, validated")
        held = (await post(client, HELD))["choices"][0]
        check_held(held)
        assert bool(held["message"].get("reasoning_content")) is name.startswith("DeepSeek")
        shown(family, f"CPU {precision}", "JSON", "validated")


@pytest.mark.parametrize("family", ["MPT", "DBRX"])
def test_families_that_take_no_adapters_say_so(tmp_path, family):
    weights = write_weights(tmp_path / "weights", family)
    with pytest.raises(UnsupportedModel, match="adapters of models of this family are not supported: merge them"):
        build(weights, tmp_path / "cache", Precision.INT8, lambda _: None, adapters={"x": tmp_path})
    for precision in (Precision.INT8, Precision.BF16):
        shown(family, f"CPU {precision}", "LoRA", "refused: merge first")
