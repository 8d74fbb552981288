"""How many questions the guide answers exactly, and what rounding its weights does to that."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from chat import IGNORED, Chats

if TYPE_CHECKING:
    from pathlib import Path

    from corpus import Fact
    from transformers import LlamaForCausalLM

REFERENCE_PROMPTS = ("What is provisioned throughput?", "how do i create an endpoint", "What is the capital of France?")


@dataclass(frozen=True, slots=True)
class Answered:
    """Rates between 0 and 1 over a set of questions, and the questions that were answered with something else."""

    greedy: float
    sampled: float
    wrong: tuple[tuple[str, str], ...]


@torch.no_grad()
def answered(model: LlamaForCausalLM, chats: Chats, asked: list[tuple[Fact, str]], size: int = 128) -> Answered:
    """The share of questions whose whole answer is exactly right: greedily, and expected when sampled at temperature 1.

    A greedy answer is right if and only if each of its tokens is the most likely one after the right ones before it,
    so one pass over question and answer tells, without generating.
    """
    greedy, sampled, wrong = 0, 0.0, []
    for start in range(0, len(asked), size):
        part = asked[start : start + size]
        tokens, labels = chats.batch([chats.encode([(question, fact.answer)]) for fact, question in part])
        logprobs = torch.log_softmax(model(input_ids=tokens).logits[:, :-1].float(), -1)
        labels = labels[:, 1:]
        asked_for = labels != IGNORED
        right = ((logprobs.argmax(-1) == labels) | ~asked_for).all(-1)
        likely = logprobs.gather(-1, labels.clamp(min=0)[..., None])[..., 0].masked_fill(~asked_for, 0).sum(-1).exp()
        greedy += int(right.sum())
        sampled += float(likely.sum())
        wrong += [
            (fact.name, question) for (fact, question), good in zip(part, right.tolist(), strict=True) if not good
        ]
    return Answered(greedy / len(asked), sampled / len(asked), tuple(wrong))


def rounded(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """A copy whose matrices are rounded to 256 levels per row, as an engine with 8-bit weights keeps them."""
    made = copy.deepcopy(model)
    for weights in made.parameters():
        if weights.dim() == 2:
            low, high = weights.data.aminmax(dim=1, keepdim=True)
            scale = (high - low).clamp(min=1e-12) / 255
            zero = (-low / scale).round()
            weights.data = (((weights.data / scale).round() + zero).clamp(0, 255) - zero) * scale
    return made


@torch.no_grad()
def write_reference(model: LlamaForCausalLM, chats: Chats, path: Path) -> None:
    """The 20 most likely next tokens after three prompts, for an engine to check itself against."""
    prompts = []
    for question in REFERENCE_PROMPTS:
        tokens = chats.prompt(question)
        logprobs = torch.log_softmax(model(input_ids=torch.tensor([tokens])).logits[0, -1].float(), -1)
        values, ids = logprobs.topk(20)
        prompts.append(
            {"tokens": tokens, "top": [[i, round(v, 6)] for i, v in zip(ids.tolist(), values.tolist(), strict=True)]}
        )
    path.write_text(json.dumps({"prompts": prompts, "dtype": "float32"}) + "\n", encoding="utf-8")
