"""The real process with a tiny Llama: build, serve, stream, stop."""

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from engine_fakes import byte_level, write_model

ASK = {"messages": [{"role": "user", "content": "Tokens per second"}], "temperature": 0, "max_tokens": 20}
HIDDEN, FEED_FORWARD, LAYERS, HEADS, KV_HEADS = 64, 96, 2, 4, 2


def write_llama(folder):
    """Random weights, as transformers would write them."""
    made = byte_level()
    vocabulary = made.get_vocab_size()
    write_model(folder, made)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "vocab_size": vocabulary,
        "intermediate_size": FEED_FORWARD, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 1,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    kv = HIDDEN // HEADS * KV_HEADS
    shapes = {"model.embed_tokens": (vocabulary, HIDDEN), "model.norm": (HIDDEN,), "lm_head": (vocabulary, HIDDEN)}
    for layer in range(LAYERS):
        shapes |= {
            f"model.layers.{layer}.{name}": shape
            for name, shape in {
                "input_layernorm": (HIDDEN,), "post_attention_layernorm": (HIDDEN,),
                "self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (kv, HIDDEN),
                "self_attn.v_proj": (kv, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN),
                "mlp.gate_proj": (FEED_FORWARD, HIDDEN), "mlp.up_proj": (FEED_FORWARD, HIDDEN),
                "mlp.down_proj": (HIDDEN, FEED_FORWARD),
            }.items()
        }  # fmt: skip
    write_safetensors(folder / "model.safetensors", {f"{name}.weight": shape for name, shape in shapes.items()})
    return folder


def write_safetensors(path, shapes):
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    rng = np.random.default_rng(9)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape in shapes.values():
            values = np.ones(shape) if len(shape) == 1 else rng.standard_normal(shape) * 0.3
            file.write(values.astype(np.float32).tobytes())


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return write_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def command(*arguments):
    return [sys.executable, "-m", "penstock_engine", *map(str, arguments)]


def build(model, cache):
    return subprocess.run(
        command("build", "--model", model, "--cache", cache, "--precision", "int8"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@contextmanager
def worker(model, cache, *more, task="llm/v1/chat", **options):
    """A running worker and its socket, where an old one lay; its log is read up to the line that says so."""
    with tempfile.TemporaryDirectory(prefix="pse") as folder:
        place = Path(folder) / "s"
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(str(place))
        process = subprocess.Popen(
            command(
                "serve", "--model", model, "--cache", cache, "--precision", "fp32", "--socket", place,
                "--served-model-name", "tiny-1", "--task", task, "--kv-bytes", 1 << 22, *more,
            ),
            stdout=subprocess.PIPE, text=True, **options,
        )  # fmt: skip
        try:
            log = []
            for line in process.stdout:
                log.append(line)
                if "serving tiny-1 on" in line:
                    break
            else:
                raise AssertionError("".join(log))
            yield process, place
        finally:
            process.kill()
            process.communicate()
            if process.stdin:
                process.stdin.close()


def ask(place, body, path="/v1/chat/completions"):
    connection = http.client.HTTPConnection("worker")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(place))
    try:
        connection.request("POST" if body else "GET", path, json.dumps(body) if body else None)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_build_fills_the_cache_and_says_so_again(llama, cache):
    for _ in range(2):
        done = build(llama, cache)
        assert done.returncode == 0, done.stdout
        assert "built" in done.stdout.splitlines()[-1]
    assert any(cache.iterdir())


def test_a_build_that_fails_ends_with_a_reason(llama, cache, tmp_path):
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((llama / name).read_bytes())
    done = build(tmp_path, cache)
    assert done.returncode == 1
    assert "safetensors" in done.stdout.splitlines()[-1]
    assert "Traceback" not in done.stdout + done.stderr


def test_a_real_model_answers_streams_and_scores(llama, cache):
    with worker(llama, cache) as (process, place):
        status, health = ask(place, None, "/health")
        about = json.loads(health)
        assert status == 200
        assert (about["model"], about["architecture"], about["context_length"]) == ("tiny-1", "LlamaForCausalLM", 512)
        assert about["parameters"] > 50_000
        status, raw = ask(place, ASK)
        whole = json.loads(raw)
        assert status == 200
        _, streamed = ask(place, ASK | {"stream": True})
        chunks = [json.loads(line[6:]) for line in streamed.decode().split("\n\n")[:-2]]
        text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
        assert text == whole["choices"][0]["message"]["content"]
        prompt = {"prompt": "A penstock feeds a turbine " * 9, "max_tokens": 4, "temperature": 0, "logprobs": 1}
        first, again = (json.loads(ask(place, prompt, "/v1/completions")[1]) for _ in range(2))
        assert again["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
        assert again["choices"][0]["logprobs"]["token_logprobs"] == pytest.approx(
            first["choices"][0]["logprobs"]["token_logprobs"], abs=1e-3
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_the_end_of_stdin_ends_the_process(llama, cache):
    read, write = os.pipe()
    with worker(llama, cache, "--watch-stdin", stdin=read) as (process, place):
        os.close(read)
        assert ask(place, None, "/health")[0] == 200
        assert process.poll() is None
        os.close(write)
        assert process.wait(30) == 1


def test_a_model_that_does_not_fit_its_task_is_refused(llama, cache, tmp_path):
    done = subprocess.run(
        command(
            "serve", "--model", llama, "--cache", cache, "--precision", "fp32", "--socket", tmp_path / "s",
            "--served-model-name", "x", "--task", "llm/v1/embeddings",
        ),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "does not fit this task" in done.stdout.splitlines()[-1]
    assert not (tmp_path / "s").exists()
