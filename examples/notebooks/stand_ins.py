"""Small stand-ins for models whose weights are not here: the real architectures with few layers and random weights.

What such a model says means nothing. What it is (dimensions, lengths of vectors, context, the form of its chats) is as
of the real one. Each function writes a checkpoint into a folder beside this file and returns the folder's path.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    GteConfig,
    GteModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PretrainedConfig, PreTrainedModel

FOLDER = Path(__file__).resolve().parent / "stand-ins"
BAR = "\N{FULLWIDTH VERTICAL LINE}"
R1_MARKS = (f"<{BAR}User{BAR}>", f"<{BAR}Assistant{BAR}>", "<think>", "</think>")
R1_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'user' %}{{ '<|User|>' + m.content }}"
    "{% elif m.role == 'assistant' %}{{ '<|Assistant|>' + m.content.split('</think>')[-1] + eos_token }}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}"
).replace("|", BAR)
QUESTION = "A lake lies 80 metres above the turbine. How much pressure is that?"
THOUGHT = "Ten metres of water make about one bar, and 80 is eight times ten.\n"
ANSWER = "About 8 bar."
GOOD_ENOUGH, MOST_STEPS = 0.005, 800
IGNORED = -100
"""A label that is not learned."""


def gte() -> str:
    """GTE large v1.5: 1,024 dimensions, rotary positions for 8,192 tokens; one layer instead of 24."""
    return _encoder("gte", GteModel, GteConfig, num_hidden_layers=1, max_position_embeddings=8192)


def bge() -> str:
    """BGE large v1.5: a BERT of 1,024 dimensions for 512 tokens; two layers instead of 24."""
    return _encoder("bge", BertModel, BertConfig, num_hidden_layers=2, max_position_embeddings=512)


def r1_distill() -> str:
    """DeepSeek-R1-Distill-Qwen: two layers, which are taught to answer QUESTION with THOUGHT and ANSWER, no more."""
    tokenizer = byte_tokenizer(R1_TEMPLATE, R1_MARKS)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=256, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return _written("r1-distill", Qwen2ForCausalLM, config, tokenizer, [(QUESTION, f"{THOUGHT}</think>\n\n{ANSWER}")])


def byte_tokenizer(
    chat_template: str | None = None, marks: Sequence[str] = (), around: tuple[str, str] | None = None
) -> PreTrainedTokenizerFast:
    """A token for each byte, a begin token (0), an end token (1) and the marks. `around`: put at a text's two ends."""
    begin, end = around or ("<s>", "</s>")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([begin, end, *letters])}
    library = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in marks])
    if around is None:
        made = PreTrainedTokenizerFast(tokenizer_object=library, bos_token=begin, eos_token=end)
    else:
        library.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A {end}", special_tokens=[(begin, 0), (end, 1)]
        )
        made = PreTrainedTokenizerFast(tokenizer_object=library, cls_token=begin, sep_token=end)
    if chat_template is not None:
        made.chat_template = chat_template
    return made


def teach(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, lessons: Sequence[tuple[str, str]]) -> None:
    """Trains what is not frozen until every question is answered so; seconds for a model of this size."""
    tokens, labels = [], []
    for question, answer in lessons:
        asked = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        row = torch.tensor(tokenizer.encode(prompt + answer + tokenizer.eos_token, add_special_tokens=False))
        wanted = row.clone()
        wanted[: len(tokenizer.encode(prompt, add_special_tokens=False))] = IGNORED
        tokens.append(row)
        labels.append(wanted)
    rows = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
    wanted = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=3e-3)
    model.train()
    for _ in range(MOST_STEPS):
        loss = model(input_ids=rows, labels=wanted).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < GOOD_ENOUGH:
            break
    else:
        raise RuntimeError(f"the lessons were not learned in {MOST_STEPS} steps: loss {loss.item():.3f}")
    model.eval()


def _encoder(name: str, kind: type[PreTrainedModel], config: type[PretrainedConfig], **sizes: int) -> str:
    tokenizer = byte_tokenizer(around=("[CLS]", "[SEP]"))
    made = config(
        vocab_size=len(tokenizer), hidden_size=1024, intermediate_size=1024, num_attention_heads=16,
        initializer_range=0.1, **sizes,
    )  # fmt: skip
    return _written(name, kind, made, tokenizer)


def _written(
    name: str,
    kind: type[PreTrainedModel],
    config: object,
    tokenizer: PreTrainedTokenizerFast,
    lessons: Sequence[tuple[str, str]] = (),
) -> str:
    torch.manual_seed(3)
    model = kind(config)
    if lessons:
        teach(model, tokenizer, lessons)
    folder = FOLDER / name
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
