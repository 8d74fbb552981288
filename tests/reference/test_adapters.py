"""LoRA adapters against the reference implementation with the same adapters merged into its weights."""

import json

import numpy as np
import pytest
import torch
from families import CASES, make
from safetensors.numpy import save_file
from test_decoders import STEPS, cosines, prompts, reference_greedy, reference_rows

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MODULES = (*ATTENTION, "gate_proj", "up_proj", "down_proj")
ADAPTED = (
    "llama2-float32-sharded",
    "llama3-tied",
    "llama3-long-base",
    "codellama",
    "llamaguard",
    "r1-distill-llama",
    "r1-distill-qwen",
    "mistral-window",
    "mixtral",
)
CHOSEN = ("all", "attention", "")
ASKED = prompts((60, 60, 60))


def write(folder, model, modules, rank, seed):
    """As PEFT does; gives what is to be added to each weight."""
    folder.mkdir()
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": list(modules), "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    numbers, tensors, added = np.random.default_rng(seed), {}, {}
    for name, weight in model.state_dict().items():
        layer = name.removesuffix(".weight")
        if layer.rsplit(".", 1)[-1] in modules and name.endswith(".weight"):
            down = numbers.normal(0, 0.05, (rank, weight.shape[1])).astype(np.float32)
            up = numbers.normal(0, 0.05, (weight.shape[0], rank)).astype(np.float32)
            tensors |= {f"base_model.model.{layer}.lora_A.weight": down, f"base_model.model.{layer}.lora_B.weight": up}
            added[name] = torch.from_numpy(2 * up @ down)
    save_file(tensors, folder / "adapter_model.safetensors")
    return added


def written(folder, model, *, experts):
    """Two adapters in folders of their own, and what each adds to the weights: {name: {weight: addition}}."""
    return {
        "all": write(folder / "all", model, ATTENTION if experts else MODULES, 8, 1),
        "attention": write(folder / "attention", model, ("q_proj", "v_proj"), 4, 2),
    }


def merged(model, adapters):
    """(adapter, prompt) of each request in turn, while the model has the adapter merged into it."""
    plain = {key: value.clone() for key, value in model.state_dict().items()}
    for adapter, prompt in zip(CHOSEN, ASKED, strict=True):
        added = adapters.get(adapter, {})
        model.load_state_dict({key: value + added.get(key, 0) for key, value in plain.items()})
        yield adapter, prompt
    model.load_state_dict(plain)


@pytest.mark.parametrize("name", ADAPTED)
def test_adapters_equal_the_reference_with_them_merged(tmp_path, engine, shown, name):
    case = CASES[name]
    model = make(case, tmp_path / "base")
    adapters = written(tmp_path, model, experts=case.experts)
    folders = {each: str(tmp_path / each) for each in adapters}
    found = engine(tmp_path / "base", ASKED, steps=STEPS, adapters=folders, chosen=CHOSEN)
    close = {}
    for number, (_, prompt) in enumerate(merged(model, adapters)):
        tokens, logprobs = reference_greedy(model, prompt)
        assert found["fp32"][f"tokens{number}"].tolist() == tokens
        np.testing.assert_allclose(found["fp32"][f"logprobs{number}"], logprobs, atol=3e-5)
        rows = reference_rows(model, prompt)
        for precision, least in (("bf16", 0.999), ("int8", 0.98 if case.experts else 0.99)):
            cosine = cosines(found[precision][f"rows{number}"], rows)
            assert (np.median(cosine) if case.experts else cosine.min()) > least
            close.setdefault(precision, []).append(np.median(cosine))
    shown(case.family, "CPU fp32", "LoRA", "same tokens as merged, several at a time")
    for precision, cosine in close.items():
        shown(case.family, f"CPU {precision}", "LoRA", f"cosine {min(cosine):.4f} to merged, several at a time")
