"""From config.json to a plan, or to the reason why this engine would compute something else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock_engine.architectures.bert import plan_bert
from penstock_engine.architectures.llama import plan_llama
from penstock_engine.errors import UnsupportedModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock_engine.architectures.plan import Plan
    from penstock_engine.config import Config


@dataclass(frozen=True, slots=True)
class Family:
    """The classes of one model_type whose maths a plan follows."""

    classes: frozenset[str]
    plan: Callable[[Config], Plan]


FAMILIES = {
    "llama": Family(frozenset({"LlamaForCausalLM"}), plan_llama),
    "mistral": Family(frozenset({"MistralForCausalLM"}), plan_llama),
    "bert": Family(frozenset({"BertModel", "BertForMaskedLM"}), plan_bert),
}


def plan_of(config: Config) -> Plan:
    """Raises UnsupportedModel with the reason; CheckpointError if a field is missing or of the wrong type."""
    kind = config.text("model_type", "")
    family = FAMILIES.get(kind)
    if family is None:
        raise UnsupportedModel(f"model_type {kind!r:.60} is not supported: only {', '.join(sorted(FAMILIES))} are")
    classes = config.texts("architectures")
    if classes and not family.classes & set(classes):
        raise UnsupportedModel(f"{classes[0]:.80} is not supported: only {', '.join(sorted(family.classes))}")
    if config.has("quantization_config"):
        raise UnsupportedModel("a checkpoint that is quantised already is not supported: register the original weights")
    if config.has("auto_map"):
        raise UnsupportedModel("a model that brings its own code (auto_map) is not supported")
    return family.plan(config)
