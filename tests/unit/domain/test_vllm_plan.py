"""What vLLM is asked for: by the model, the device and the settings; and what it does not serve."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from penstock.domain.model import ModelFacts, Precision, Shape, Task
from penstock.domain.vllm_plan import (
    BLOCK,
    CPU_BLOCK,
    CPU_CACHE,
    CPU_RUNNING,
    GIB,
    MIB,
    TOKENS,
    Hardware,
    Place,
    Talk,
    Wishes,
    adapts,
    arguments,
    environment,
    refusal,
    size,
    tool_parser,
)

CARD = Hardware(1, 80 * GIB, 64 * GIB)
FOUR = Hardware(4, 320 * GIB, 256 * GIB)
CPU = Hardware(0, 24 * GIB, 24 * GIB)
PLACE = Place("/m/model", "/m/tokenizer", "main.a.b/1", socket="/run/r1.sock")
LLAMA_8B = ModelFacts(
    Task.CHAT, "llama", "LlamaForCausalLM", 8_030_261_248, 16 * 10**9, 131_072,
    Shape(32, 4096, 14_336, 32, 8, 128, 128_256), True, True, None,
)  # fmt: skip
LLAMA_70B = replace(
    LLAMA_8B, parameters=70_553_706_496, weight_bytes=141 * 10**9, shape=Shape(80, 8192, 28_672, 64, 8, 128, 128_256)
)
BGE = ModelFacts(
    Task.EMBEDDINGS, "bge-large", "BertModel", 335_141_888, 670 * 10**6, 512, Shape(24, 1024, 4096, 16, 0, 64, 30_522),
    True, False, None,
)  # fmt: skip
MPT = replace(LLAMA_8B, model_type="mpt", architecture="MPTForCausalLM", context_length=8192)
DBRX = replace(LLAMA_8B, model_type="dbrx", architecture="DbrxForCausalLM")
BF16 = Precision.BF16
LLAMA_3 = Talk(frozenset({"<|python_tag|>"}))


def told(facts, hardware=CARD, wishes=None, version="0.33.0"):
    """The flags with what follows each; those that stand alone have nothing."""
    words = arguments(facts, BF16, hardware, wishes or Wishes(), PLACE, version=version, talk=LLAMA_3)
    found = {}
    for word, after in zip(words, (*words[1:], "--"), strict=True):
        if word.startswith("--"):
            found[word] = "" if after.startswith("--") else after
    return found


def why(facts, hardware=CARD, precision=BF16, version="0.33.0", wishes=None):
    return refusal(facts, precision, hardware, wishes or Wishes(), version)


def test_seven_billion_on_one_gpu():
    assert not why(LLAMA_8B)
    flags, found = told(LLAMA_8B), size(LLAMA_8B, BF16, CARD, Wishes())
    assert flags["--uds"] == "/run/r1.sock"
    assert flags["--dtype"] == "bfloat16"
    assert flags["--max-model-len"] == "131072"
    assert flags["--max-num-seqs"] == "128"
    assert flags["--tensor-parallel-size"] == "1"
    assert flags["--scheduling-policy"] == "priority"
    assert flags["--tool-call-parser"] == "llama3_json"
    assert "--structured-outputs-config" not in flags, "required calls need vLLM's own choice"
    assert "--enable-prefix-caching" in flags
    assert not {"--enable-sleep-mode", "--enable-lora", "--runner"} & flags.keys()
    # 64 requests of the reference's length in 16-bit keys and values; 16 GB of weights beside them.
    assert found.kv_tokens == 64 * 2304
    assert int(flags["--kv-cache-memory-bytes"]) == found.kv_bytes == 64 * 2304 * LLAMA_8B.shape.kv_bytes_per_token
    assert 34 * GIB < found.memory < 44 * GIB
    assert float(flags["--gpu-memory-utilization"]) == pytest.approx(found.memory / CARD.total, abs=0.001)
    assert float(flags["--gpu-memory-utilization"]) * CARD.total >= found.memory


def test_seventy_billion_on_four_gpus():
    assert "does not fit: in bf16" in why(LLAMA_70B)
    assert not why(LLAMA_70B, FOUR)
    flags, found = told(LLAMA_70B, FOUR), size(LLAMA_70B, BF16, FOUR, Wishes())
    assert flags["--tensor-parallel-size"] == "4"
    assert int(flags["--kv-cache-memory-bytes"]) == found.kv_bytes // 4
    assert 141 * 10**9 < found.memory <= FOUR.memory


def test_a_cache_that_does_not_fit_is_cut_and_the_context_with_it():
    small = Hardware(1, 32 * GIB, 28 * GIB)
    found = size(LLAMA_8B, BF16, small, Wishes())
    assert not why(LLAMA_8B, small)
    assert found.memory <= small.memory
    assert 2304 <= found.kv_tokens < 131_072
    assert found.kv_tokens % BLOCK == 0
    assert told(LLAMA_8B, small)["--max-model-len"] == str(found.context) == str(found.kv_tokens)


def test_without_room_for_one_request_it_does_not_fit():
    assert "and 1 GPU may give 18.0 GiB" in why(LLAMA_8B, Hardware(1, 24 * GIB, 18 * GIB))
    assert "and the CPU may give 4.0 GiB" in why(LLAMA_8B, Hardware(0, 4 * GIB, 4 * GIB))


@pytest.mark.parametrize(
    ("gpus", "shape", "what"),
    [
        (3, LLAMA_8B.shape, "32 attention heads cannot be divided among 3 GPUs"),
        (2, replace(LLAMA_8B.shape, kv_heads=3), "3 heads of keys and values"),
        (16, replace(LLAMA_8B.shape, intermediate=1000), "layers of 1000"),
    ],
)
def test_what_cannot_be_divided_is_refused(gpus, shape, what):
    assert what in why(replace(LLAMA_8B, shape=shape), Hardware(gpus, gpus * 80 * GIB, gpus * 64 * GIB))


def test_fewer_heads_of_keys_than_gpus_are_kept_on_several():
    eight, sixteen = (Hardware(count, count * 80 * GIB, count * 64 * GIB) for count in (8, 16))
    shape = replace(LLAMA_8B.shape, heads=64)
    once, twice = (size(replace(LLAMA_8B, shape=shape), BF16, each, Wishes()) for each in (eight, sixteen))
    assert not why(replace(LLAMA_8B, shape=shape), sixteen)
    assert twice.kv_bytes == 2 * once.kv_bytes


def test_embeddings_go_through_the_pooling_runner_and_keep_no_cache():
    assert not why(BGE)
    flags = told(BGE)
    assert flags["--runner"] == "pooling"
    assert not {"--kv-cache-memory-bytes", "--enable-prefix-caching", "--tool-call-parser"} & flags.keys()
    assert size(BGE, BF16, CARD, Wishes()).kv_tokens == 0
    assert environment(BGE, BF16, CARD, Wishes(), version="0.33.0")["VLLM_ALLOW_LONG_MAX_MODEL_LEN"] == "1"


def test_adapters_and_sleep_are_let_in_where_they_are_wished():
    wishes = Wishes(adapters=4, adapter_rank=32, sleeps=True)
    flags, variables = told(LLAMA_8B, wishes=wishes), environment(LLAMA_8B, BF16, CARD, wishes, version="0.33.0")
    assert (flags["--max-loras"], flags["--max-lora-rank"]) == ("4", "32")
    assert {"--enable-lora", "--enable-sleep-mode"} <= flags.keys()
    assert (variables["VLLM_ALLOW_RUNTIME_LORA_UPDATING"], variables["VLLM_SERVER_DEV_MODE"]) == ("1", "1")
    assert size(LLAMA_8B, BF16, CARD, wishes).memory > size(LLAMA_8B, BF16, CARD, Wishes()).memory
    plain = environment(LLAMA_8B, BF16, CARD, Wishes(), version="0.33.0")
    assert not {"VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_SERVER_DEV_MODE"} & plain.keys()
    assert plain["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("facts", "hardware", "taken"),
    [
        (LLAMA_8B, CARD, True),
        (LLAMA_8B, CPU, True),
        (BGE, CARD, False),
        (replace(LLAMA_8B, shape=replace(LLAMA_8B.shape, experts=8)), CARD, True),
        (replace(LLAMA_8B, shape=replace(LLAMA_8B.shape, experts=8)), CPU, False),
    ],
)
def test_adapters_of_texts_are_taken_but_of_mixtures_on_cpus(facts, hardware, taken):
    assert adapts(facts, hardware, Wishes(adapters=1)) is taken
    assert not adapts(facts, hardware, Wishes())


@pytest.mark.parametrize(("version", "served"), [("0.28.0", True), ("0.29.0", False), ("0.33.0rc1", False)])
def test_mpt_is_served_by_older_versions_only(version, served):
    said = why(MPT, version=version)
    assert said == ("" if served else f"vLLM served MPT up to version 0.28, and this is {version}")


def test_a_version_that_knows_no_patience_at_its_end_is_not_asked_for_it():
    assert "--shutdown-timeout" in told(LLAMA_8B)
    assert "--shutdown-timeout" not in told(MPT, version="0.28.0")


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (DBRX, "fails to load DBRX"),
        (replace(BGE, architecture="NewModel"), "only with the code that its authors put beside it"),
        (replace(LLAMA_8B, shape=None), "sizes of the model are not known"),
    ],
)
def test_what_vllm_cannot_serve_is_refused_with_the_reason(facts, what):
    assert what in why(facts)


def test_eight_bits_are_the_cpu_engines():
    assert why(LLAMA_8B, precision=Precision.INT8) == "vLLM computes it in bf16 or fp32, not in int8"


SMALL = replace(LLAMA_8B, parameters=10**9, shape=Shape(16, 2048, 8192, 32, 8, 64, 32_000), context_length=8192)


def test_on_a_cpu_its_cache_is_told_in_bytes_and_no_gpu_is_named():
    assert not why(SMALL, CPU)
    flags, found = told(SMALL, CPU), size(SMALL, BF16, CPU, Wishes())
    assert flags["--max-num-seqs"] == str(CPU_RUNNING)
    assert not {"--tensor-parallel-size", "--gpu-memory-utilization"} & flags.keys()
    assert flags["--kv-cache-memory-bytes"] == str(found.kv_bytes)
    assert int(told(BGE, CPU)["--kv-cache-memory-bytes"]) == MIB
    variables = environment(SMALL, BF16, CPU, Wishes(), version="0.32.0+cpu")
    assert "VLLM_CPU_KVCACHE_SPACE" not in variables
    assert variables["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"


def test_a_cpus_cache_holds_all_that_runs_if_that_is_not_much():
    reference, kept = CPU_RUNNING * 2304, LLAMA_8B.shape.kv_bytes_per_token
    assert size(SMALL, BF16, CPU, Wishes()).kv_tokens == reference
    large = replace(LLAMA_8B, parameters=10**9, context_length=8192)
    assert reference // 2 * kept > CPU_CACHE
    assert size(large, BF16, CPU, Wishes()).kv_tokens == reference // 2
    between = replace(large, shape=replace(large.shape, kv_heads=4))
    assert size(between, BF16, CPU, Wishes()).kv_tokens * kept // 2 == pytest.approx(CPU_CACHE, rel=0.01)


def test_an_older_one_counts_a_cpus_cache_in_gigabytes():
    flags, found = told(SMALL, CPU, version="0.28.0"), size(SMALL, BF16, CPU, Wishes())
    variables = environment(SMALL, BF16, CPU, Wishes(), version="0.28.0")
    assert "--kv-cache-memory-bytes" not in flags
    assert (int(variables["VLLM_CPU_KVCACHE_SPACE"]) - 1) * GIB < found.kv_bytes
    assert int(variables["VLLM_CPU_KVCACHE_SPACE"]) * GIB >= found.kv_bytes


def test_a_cache_that_is_cut_on_a_cpu_has_whole_blocks_for_its_context():
    small = Hardware(0, 24 * GIB, 9 * GIB)
    found = size(replace(SMALL, context_length=131_072), BF16, small, Wishes())
    assert 2304 <= found.context == found.kv_tokens < 131_072
    assert found.kv_tokens % CPU_BLOCK == 0


@pytest.mark.parametrize(("head", "missing"), [(16, True), (48, True), (64, False)])
def test_a_size_of_heads_without_a_kernel_for_cpus_is_refused_there(head, missing):
    facts = replace(SMALL, shape=replace(SMALL.shape, head_dim=head))
    assert why(facts, CPU) == (f"vLLM computes no attention heads of {head} on CPUs" if missing else "")
    assert not why(facts, CARD)


THINKS = Talk(frozenset({"<think>", "</think>"}), "{% if '</think>' in content %}")


@pytest.mark.parametrize(
    ("facts", "talk", "parser"),
    [
        (LLAMA_8B, THINKS, "deepseek_r1"),
        (LLAMA_8B, replace(THINKS, template="{{ content }}"), None),
        (LLAMA_8B, replace(THINKS, tokens=frozenset({"</think>"})), None),
        (replace(LLAMA_8B, task=Task.COMPLETIONS), THINKS, None),
    ],
)
def test_thoughts_are_split_in_chats_of_models_that_think(facts, talk, parser):
    words = arguments(facts, BF16, CARD, Wishes(), PLACE, version="0.33.0", talk=talk)
    assert (words[words.index("--reasoning-parser") + 1] if "--reasoning-parser" in words else None) == parser


@pytest.mark.parametrize(
    ("facts", "tokens", "parser"),
    [
        (LLAMA_8B, {"<|python_tag|>"}, "llama3_json"),
        (LLAMA_8B, {"[TOOL_CALLS]"}, ""),
        (replace(LLAMA_8B, architecture="MixtralForCausalLM"), {"[TOOL_CALLS]"}, "mistral"),
        (replace(LLAMA_8B, architecture="MistralForCausalLM"), set(), ""),
        (replace(LLAMA_8B, architecture="Qwen2ForCausalLM"), set(), "hermes"),
        (replace(LLAMA_8B, task=Task.COMPLETIONS), {"<|python_tag|>"}, ""),
        (MPT, TOKENS, ""),
    ],
)
def test_calls_are_parsed_as_the_family_writes_them_where_its_tokenizer_can(facts, tokens, parser):
    assert tool_parser(facts, Talk(frozenset(tokens))) == parser
    told = arguments(facts, BF16, CARD, Wishes(), PLACE, version="0.33.0", talk=Talk(frozenset(tokens)))
    forms = [json.loads(after) for name, after in pairwise(told) if name == "--structured-outputs-config"]
    compact = {"backend": "guidance", "disable_any_whitespace": True}
    assert forms == ([] if parser in {"llama3_json", "hermes"} else [compact])


def test_without_a_socket_it_listens_to_this_machine_only():
    words = arguments(
        LLAMA_8B, BF16, CARD, Wishes(), replace(PLACE, socket="", port=8123), version="0.33.0", talk=Talk()
    )
    assert words[words.index("--host") :][:4] == ("--host", "127.0.0.1", "--port", "8123")
