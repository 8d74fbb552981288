"""The facts of LoRA adapters: logged with their base model, without it, or as PEFT's folder alone."""

import json

import pytest
from test_model_reader import CARD, WEIGHTS, Version, safetensors

from penstock.adapters.models.reader import read_facts
from penstock.domain.model import AdapterFacts, Task

PAIR = safetensors({"base_model.model.q.lora_A.weight": ("F32", [2, 3], 24)})
WIDER = safetensors({f"base_model.model.{n}.lora_A.weight": ("F32", [n, 3], 12 * n) for n in (2, 6)})
CONFIG = {"peft_type": "LORA", "r": 4, "bias": "none", "base_model_name_or_path": "meta-llama/Llama-3.1-8B-Instruct"}


class Adapter(Version):
    """A version's files as PEFT writes them, in `folder`."""

    def __init__(self, root, folder=""):
        self.root = root
        self.folder = folder
        self.settings()
        self.put(f"{folder}adapter_model.safetensors", PAIR)

    def settings(self, **changes):
        self.put(f"{self.folder}adapter_config.json", json.dumps({**CONFIG, **changes}))


def test_a_folder_of_peft_is_an_adapter(tmp_path):
    facts = Adapter(tmp_path / "v").facts
    assert (facts.problem, facts.adapter) == (None, AdapterFacts("meta-llama/Llama-3.1-8B-Instruct", 2))
    assert (facts.task, facts.shape, facts.parameters) == (None, None, 0)


def test_the_largest_rank_counts_whatever_is_said(tmp_path):
    version = Adapter(tmp_path / "v")
    version.put("adapter_model.safetensors", WIDER)
    assert version.facts.adapter.rank == 6


def test_one_that_mlflow_logged_without_its_base_says_its_task(tmp_path):
    version = Adapter(tmp_path / "v", "peft/")
    version.put("MLmodel", CARD.format(task="llm/v1/chat"))
    facts = version.facts
    assert (facts.problem, facts.task, facts.adapter.rank, facts.shape) == (None, Task.CHAT, 2, None)


def test_one_with_its_base_has_the_facts_of_both(tmp_path):
    version = Version(tmp_path / "v")
    version.put("peft/adapter_config.json", json.dumps(CONFIG | {"base_model_name_or_path": None}))
    version.put("peft/adapter_model.safetensors", PAIR)
    facts = version.facts
    assert (facts.problem, facts.adapter) == (None, AdapterFacts("", 2))
    assert (facts.architecture, facts.weight_bytes) == ("LlamaForCausalLM", len(WEIGHTS))
    version.drop("components/tokenizer/tokenizer.json")
    assert "tokenizer.json is missing" in version.facts.problem


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"peft_type": "IA3"}, "type 'IA3'"),
        ({"use_dora": True}, "with use_dora cannot be served"),
        ({"bias": "all"}, "with bias cannot"),
        ({"modules_to_save": ["lm_head"], "use_qalora": True}, "with modules_to_save, use_qalora cannot"),
        ({"r": 0}, "r must be a whole number from 1"),
    ],
)
def test_more_than_lora_is_told(tmp_path, changes, problem):
    version = Adapter(tmp_path / "v")
    version.settings(**changes)
    assert problem in version.facts.problem
    assert version.facts.adapter is None


def test_damaged_files_are_told(tmp_path):
    version = Adapter(tmp_path / "v")
    version.put("adapter_model.safetensors", PAIR[:-1])
    assert "cut short" in version.facts.problem
    version.drop("adapter_model.safetensors")
    assert "adapter_model.safetensors is missing" in version.facts.problem
    version.put("adapter_model.bin", b"")
    assert "is a pickle" in version.facts.problem


def test_a_card_that_names_an_adapter_which_is_not_there(tmp_path):
    (tmp_path / "MLmodel").write_text("flavors: {transformers: {task: llm/v1/chat, peft_adaptor: peft}}")
    assert read_facts(tmp_path).problem == "MLmodel names a PEFT adapter, but peft/adapter_config.json is missing."
