"""What vLLM's launch plan says to each family; those that it serves are served in tests/reference/test_vllm.py."""

import pytest
from shown_cells import shown

from penstock.domain.model import ModelFacts, Precision, Shape, Task
from penstock.domain.vllm_plan import Hardware, Wishes, refusal

VERSION = "0.32.0"
GPU = Hardware(1, 80 << 30, 72 << 30)
SHAPE = Shape(layers=2, hidden=256, intermediate=512, heads=4, kv_heads=2, head_dim=64, vocabulary=32_000)
SERVED = {
    "Llama 2": "LlamaForCausalLM",
    "Llama 3": "LlamaForCausalLM",
    "Llama 3.1, 3.2, 3.3": "LlamaForCausalLM",
    "CodeLlama": "LlamaForCausalLM",
    "LlamaGuard": "LlamaForCausalLM",
    "DeepSeek-R1 distills (Llama)": "LlamaForCausalLM",
    "DeepSeek-R1 distills (Qwen2)": "Qwen2ForCausalLM",
    "Mistral": "MistralForCausalLM",
    "Mixtral": "MixtralForCausalLM",
    "BGE v1.5": "BertModel",
    "MiniLM (mean of all tokens)": "BertModel",
}
REFUSED = {"MPT": "MPTForCausalLM", "DBRX": "DbrxForCausalLM", "GTE v1.5": "NewModel"}


def refused(architecture):
    facts = ModelFacts(
        task=Task.CHAT,
        model_type=None,
        architecture=architecture,
        parameters=10**6,
        weight_bytes=2 * 10**6,
        context_length=2048,
        shape=SHAPE,
        has_tokenizer=True,
        has_chat_template=True,
        problem=None,
    )
    return refusal(facts, Precision.BF16, GPU, Wishes(), VERSION)


@pytest.mark.parametrize("family", SERVED)
def test_a_family_that_vllm_serves(family):
    assert refused(SERVED[family]) == ""


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_vllm_does_not_serve(family):
    reason = refused(REFUSED[family])
    assert reason
    shown(family, "vLLM", "equals reference", f"refused: {reason}")
