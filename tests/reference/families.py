"""Tiny random models of every family, made by the reference implementation."""

from dataclasses import dataclass, field

import torch
from transformers import (
    DbrxConfig,
    DbrxForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    MptConfig,
    MptForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

VOCAB = 2048
IDS = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "initializer_range": 0.06}
SMALL = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    **IDS,
}
MPT = {"d_model": 256, "n_heads": 4, "n_layers": 2, "max_seq_len": 2048, **IDS}


def rope(**fields):
    return {"rope_parameters": {"rope_theta": 10000.0, **fields}}


LLAMA3 = rope(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64
)


def dbrx(theta, experts, chosen, clip):
    """The reference takes the base of rotation from rope_parameters alone; a real model says it in attn_config."""
    return {
        "d_model": 256,
        "n_heads": 4,
        "n_layers": 2,
        "max_seq_len": 16_384,
        "attn_config": {"kv_n_heads": 2, "clip_qkv": clip, "rope_theta": theta},
        "ffn_config": {"ffn_hidden_size": 192, "moe_num_experts": experts, "moe_top_k": chosen},
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        **IDS,
    }


@dataclass(frozen=True)
class Case:
    """family: its row in docs/models.md. experts: routers make small differences large ones now and then."""

    family: str
    model: type = LlamaForCausalLM
    config: type = LlamaConfig
    fields: dict = field(default_factory=dict)
    base: dict = field(default_factory=lambda: SMALL)
    dtype: torch.dtype = torch.bfloat16
    shard: str = "1GB"
    experts: bool = False


def mixtral(**fields):
    return Case("Mixtral", MixtralForCausalLM, MixtralConfig, {"num_key_value_heads": 2, **fields}, experts=True)


DBRX = Case("DBRX", DbrxForCausalLM, DbrxConfig, dbrx(5e5, 8, 4, 0.5), {}, experts=True)
CASES = {
    "llama2-float32-sharded": Case("Llama 2", fields={"num_key_value_heads": 4}, dtype=torch.float32, shard="2MB"),
    "llama3-tied": Case("Llama 3.1, 3.2, 3.3", fields={"tie_word_embeddings": True, "head_dim": 32, **LLAMA3}),
    "llama3-long-base": Case("Llama 3", fields=rope(rope_type="default", rope_theta=500_000.0)),
    "codellama": Case("CodeLlama", fields={"num_key_value_heads": 4, **rope(rope_theta=1e6, rope_type="default")}),
    "llamaguard": Case("LlamaGuard", fields={"num_key_value_heads": 4, "max_position_embeddings": 2048}),
    "linear-float16": Case("Llama 2", fields=rope(rope_type="linear", factor=4.0), dtype=torch.float16),
    "dynamic": Case("Llama 2", fields=rope(rope_type="dynamic", factor=4.0)),
    "yarn": Case("Llama 2", fields=rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=512)),
    "biases": Case("Llama 2", fields={"attention_bias": True, "mlp_bias": True}),
    "r1-distill-llama": Case("DeepSeek-R1 distills (Llama)", fields={"head_dim": 64, **LLAMA3}),
    "r1-distill-qwen": Case("DeepSeek-R1 distills (Qwen2)", Qwen2ForCausalLM, Qwen2Config),
    "mistral-window": Case("Mistral", MistralForCausalLM, MistralConfig, {"sliding_window": 32, "head_dim": 64}),
    "mixtral": mixtral(num_local_experts=4, num_experts_per_tok=2),
    "mixtral-eight-window": mixtral(num_local_experts=8, sliding_window=40, head_dim=32),
    "mpt": Case("MPT", MptForCausalLM, MptConfig, MPT, {}),
    "mpt-odd-heads-clipped": Case(
        "MPT", MptForCausalLM, MptConfig, {**MPT, "d_model": 192, "n_heads": 6, "attn_config": {"clip_qkv": 0.5}}, {}
    ),
    "dbrx": DBRX,
    "dbrx-plain-float32-sharded": Case(
        "DBRX", DbrxForCausalLM, DbrxConfig, dbrx(1e4, 4, 1, 8.0), {}, torch.float32, "2MB", experts=True
    ),
}


def make(case, folder):
    """A random model in the case's storage type, as the reference computes it in fp32."""
    torch.manual_seed(0)
    model = case.model(case.config(**case.base | case.fields))
    for name, value in model.named_parameters():
        if value.dim() == 1:  # norms and biases, made as 1 and 0, which would hide a mistake
            torch.nn.init.normal_(value, 1.0 if name.endswith("weight") else 0.0, 0.2)
    model.to(case.dtype).save_pretrained(folder, max_shard_size=case.shard)
    # read again: the cast above rounded the rotation's buffers too
    return case.model.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
