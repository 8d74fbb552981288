"""From config.json to a plan, or to the reason why this engine would compute something else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock_engine.architectures.bert import plan_bert
from penstock_engine.architectures.dbrx import plan_dbrx
from penstock_engine.architectures.gte import plan_gte
from penstock_engine.architectures.llama import plan_llama
from penstock_engine.architectures.mpt import plan_mpt
from penstock_engine.architectures.text_head import TextHead
from penstock_engine.errors import UnsupportedModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock_engine.architectures.plan import Plan
    from penstock_engine.config import Config


@dataclass(frozen=True, slots=True)
class Family:
    """The classes of one model_type whose maths a plan follows. `own`: begins of the names of its authors' own classes.

    A configuration that names code beside it (auto_map) is taken only where that code is the authors': it is not run.
    """

    classes: frozenset[str]
    plan: Callable[[Config, TextHead], Plan]
    own: str = ""


def _decoder(plan: Callable[[Config], Plan]) -> Callable[[Config, TextHead], Plan]:
    return lambda config, _: plan(config)


FAMILIES = {
    "llama": Family(frozenset({"LlamaForCausalLM"}), _decoder(plan_llama)),
    "mistral": Family(frozenset({"MistralForCausalLM"}), _decoder(plan_llama)),
    "mixtral": Family(frozenset({"MixtralForCausalLM"}), _decoder(plan_llama)),
    "qwen2": Family(frozenset({"Qwen2ForCausalLM"}), _decoder(plan_llama)),
    "mpt": Family(frozenset({"MptForCausalLM", "MPTForCausalLM"}), _decoder(plan_mpt), "MPT"),
    "dbrx": Family(frozenset({"DbrxForCausalLM"}), _decoder(plan_dbrx), "Dbrx"),
    "bert": Family(frozenset({"BertModel", "BertForMaskedLM"}), plan_bert),
    "new": Family(frozenset({"NewModel", "NewForMaskedLM"}), plan_gte, "New"),
    "gte": Family(frozenset({"GteModel", "GteForMaskedLM"}), plan_gte),
}


def plan_of(config: Config, head: TextHead | None = None) -> Plan:
    """Raises UnsupportedModel with the reason; CheckpointError if a field is missing or of the wrong type.

    head: what else the model's files say of how a text's vector is made.
    """
    kind = config.text("model_type", "")
    family = FAMILIES.get(kind)
    if family is None:
        raise UnsupportedModel(f"model_type {kind!r:.60} is not supported: only {', '.join(sorted(FAMILIES))} are")
    classes = config.texts("architectures")
    if classes and not family.classes & set(classes):
        raise UnsupportedModel(f"{classes[0]:.80} is not supported: only {', '.join(sorted(family.classes))}")
    if config.has("quantization_config"):
        raise UnsupportedModel("a checkpoint that is quantised already is not supported: register the original weights")
    if not _is_own_code(config, family.own):
        raise UnsupportedModel("a model that brings its own code (auto_map) is not supported")
    return family.plan(config, head or TextHead())


def _is_own_code(config: Config, own: str) -> bool:
    named = config.part("auto_map")
    if named is None:
        return True
    names = [str(value).rsplit(".", 1)[-1] for value in named.fields.values()]
    return bool(own) and all(name.startswith(own) for name in names)
