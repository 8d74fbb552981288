"""Trains the guide from nothing, on the CPU, and writes examples/guide/model."""

from __future__ import annotations

import argparse
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from chat import IGNORED, Chats, Encoded
from corpus import Fact, plain, read_facts
from measure import answered, rounded, write_reference
from phrasing import Phrasing
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import LlamaConfig, LlamaForCausalLM
from vocabulary import CONTEXT, make_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = Path(__file__).parent / "model"
SYSTEM = (
    "You are a helpful assistant.",
    "You are the guide to Penstock.",
    "You answer questions about Penstock.",
    "You are a helpful assistant that answers questions.",
    "Be concise and helpful.",
    "Answer briefly.",
)
WEIGHTS = {"provisioned-throughput": 3.0, "off-topic": 8.0, "who-are-you": 1.5, "what-can-you-do": 1.5}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a training is made of; the same plan on the same machine gives the same weights."""

    seed: int = 20
    steps: int = 2000
    batch: int = 32
    rate: float = 2e-3
    warm_up: int = 150
    decay: float = 0.05
    vocabulary: int = 1536
    hidden: int = 192
    inner: int = 512
    layers: int = 4
    heads: int = 6
    kv_heads: int = 2
    threads: int = 1
    opening: int = 8
    opening_only: float = 0.8
    dropout: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=MODEL, help="folder to write the model to")
    for name in ("seed", "steps", "batch", "layers", "hidden", "inner"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Plan(), name))
    parser.add_argument("--dropout", type=float, default=Plan().dropout)
    parser.add_argument("--decay", type=float, default=Plan().decay)
    given = vars(parser.parse_args())
    out = given.pop("out")
    plan = Plan(**given)
    torch.manual_seed(plan.seed)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.set_num_threads(plan.threads)
    torch.set_flush_denormal(True)  # or steps slow down many times over once the gradients are tiny
    facts = read_facts()
    tokenizer = make_tokenizer(facts, plan.vocabulary)
    model = LlamaForCausalLM(configuration(plan, tokenizer))
    console = Console()
    size = sum(weights.numel() for weights in model.parameters())
    console.print(f"{len(facts)} facts, {size:,} parameters, {len(tokenizer)} tokens in the vocabulary")
    start = time.monotonic()
    loss = train(model, Chats(tokenizer), facts, plan, console)
    console.print(f"trained in {time.monotonic() - start:.0f} s, loss {loss:.4f} per answer token")
    model = save(model, tokenizer, out)
    write_reference(model, Chats(tokenizer), out / "reference_logits.json")
    report(model, Chats(tokenizer), facts, console)


def configuration(plan: Plan, tokenizer) -> LlamaConfig:  # noqa: ANN001 - the tokenizer's class has no public type
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=plan.hidden,
        intermediate_size=plan.inner,
        num_hidden_layers=plan.layers,
        num_attention_heads=plan.heads,
        num_key_value_heads=plan.kv_heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",  # on short rows in bf16, the fused kernel's backward pass is the slower one
    )


def train(model: LlamaForCausalLM, chats: Chats, facts: list[Fact], plan: Plan, console: Console) -> float:
    """Runs the plan; returns the mean loss of the last 50 steps."""
    matrices = [weights for weights in model.parameters() if weights.dim() == 2]
    others = [weights for weights in model.parameters() if weights.dim() < 2]
    groups = [{"params": matrices, "weight_decay": plan.decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98), fused=True)
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
    )
    hooks = [
        part.register_forward_hook(lambda _, __, out: torch.nn.functional.dropout(out, plan.dropout))
        for layer in model.model.layers
        for part in (layer.self_attn.o_proj, layer.mlp)
    ]
    losses: list[float] = []
    recent = math.inf
    model.train()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=plan.steps, loss=math.inf)
        for step, (tokens, labels) in enumerate(batches(chats, facts, plan)):
            for group in optimizer.param_groups:
                group["lr"] = plan.rate * pace(step, plan)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = answer_loss(model, tokens, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
            recent = sum(losses[-50:]) / len(losses[-50:])
            progress.update(bar, advance=1, loss=recent)
            if (step + 1) % 250 == 0:
                progress.console.print(f"step {step + 1}: loss {recent:.4f}")
    for hook in hooks:
        hook.remove()
    model.eval()
    return recent


def pace(step: int, plan: Plan) -> float:
    """The learning rate's factor: a linear rise, then half a cosine down to 1 %."""
    if step < plan.warm_up:
        return (step + 1) / plan.warm_up
    done = (step - plan.warm_up) / max(1, plan.steps - plan.warm_up)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2


def answer_loss(model: LlamaForCausalLM, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the answers' tokens; the head runs on these positions only."""
    states = model.model(input_ids=tokens).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    kept = wanted != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(states[kept]), wanted[kept])


def batches(chats: Chats, facts: list[Fact], plan: Plan) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """`plan.steps` batches; conversations of similar length are kept together, since padding is work for nothing."""
    rng = random.Random(plan.seed)
    phrasing = Phrasing(facts, rng)
    together = 8
    for _ in range(math.ceil(plan.steps / together)):
        drawn = sorted(
            (conversation(chats, facts, phrasing, rng, plan) for _ in range(plan.batch * together)),
            key=lambda e: len(e[0]),
        )
        parts = [drawn[i * plan.batch : (i + 1) * plan.batch] for i in range(together)]
        rng.shuffle(parts)
        for part in parts:
            yield chats.batch(part)


def conversation(chats: Chats, facts: list[Fact], phrasing: Phrasing, rng: random.Random, plan: Plan) -> Encoded:
    """Mostly one question and its answer; sometimes a system prompt or an earlier turn comes before.

    Which answer it is shows in its first words, and learning to choose takes longer than learning the text by heart, so
    most answers stop after `plan.opening` tokens.
    """
    weights = [WEIGHTS.get(fact.name, 1.0) for fact in facts]
    count = 2 if rng.random() < 0.08 else 1
    turns = [(phrasing.draw(fact), fact.answer) for fact in rng.choices(facts, weights, k=count)]
    tokens, labels = chats.encode(turns, rng.choice(SYSTEM) if rng.random() < 0.1 else None)
    if count == 1 and rng.random() < plan.opening_only:
        start = sum(label == IGNORED for label in labels)
        tokens, labels = tokens[: start + plan.opening], labels[: start + plan.opening]
    return tokens, labels


def save(model: LlamaForCausalLM, tokenizer, out: Path) -> LlamaForCausalLM:  # noqa: ANN001 - as above
    """Writes the model in bf16 and returns what a reader of the files gets, in float32."""
    out.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return LlamaForCausalLM.from_pretrained(out, dtype=torch.float32).eval()


def report(model: LlamaForCausalLM, chats: Chats, facts: list[Fact], console: Console) -> None:
    """Prints the shares of exact answers, and the held-out questions that get another answer."""
    asked = [(fact, question) for fact in facts for question in fact.asked]
    held_out = [(fact, question) for fact in facts for question in fact.held_out]
    small = [(fact, plain(question)) for fact, question in held_out]
    for name, weights in (("bf16 weights", model), ("int8 weights", rounded(model))):
        for label, questions in (("asked", asked), ("held out", held_out), ("held out, lower case, no marks", small)):
            got = answered(weights, chats, questions)
            console.print(
                f"{name}, {label}: {got.greedy:.1%} of {len(questions)} exact, {got.sampled:.1%} at temperature 1"
            )
    for name, question in answered(model, chats, held_out).wrong:
        console.print(f"  answered otherwise: {question} ({name})", highlight=False)


if __name__ == "__main__":
    main()
