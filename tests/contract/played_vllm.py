"""A vLLM that is played: run in place of an interpreter that has it, it takes vLLM's flags and speaks its wire.

`python -c ...` tells a version; `python -m vllm.entrypoints.cli.main serve ...` serves on a Unix socket. A flag that
vLLM does not have ends it, as there. With PLAYED_FAILS in its environment it ends as one that finds no memory.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

LAST_WORDS = """(EngineCore_DP0 pid=7) ERROR 11-21 22:50:01 [core.py:946] Traceback (most recent call last):
(EngineCore_DP0 pid=7) ERROR 11-21 22:50:01 [core.py:946] ValueError: Free memory on device cuda:0 (3.2/79.1 GiB)
Traceback (most recent call last):
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""


def flags():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    for name in ("tokenizer", "served-model-name", "uds", "dtype", "scheduling-policy", "runner", "generation-config"):
        parser.add_argument(f"--{name}")
    for name in ("max-model-len", "max-num-seqs", "max-num-batched-tokens", "tensor-parallel-size", "shutdown-timeout"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("kv-cache-memory-bytes", "max-loras", "max-lora-rank"):
        parser.add_argument(f"--{name}", type=int, default=0)
    for name in ("enable-prompt-tokens-details", "disable-uvicorn-access-log", "enable-sleep-mode", "enable-lora"):
        parser.add_argument(f"--{name}", action="store_true")
    for name in ("enable-prefix-caching", "enable-auto-tool-choice"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.92)
    parser.add_argument("--reasoning-parser", choices=["deepseek_r1"])
    parser.add_argument("--tool-call-parser", choices=["llama3_json", "mistral", "hermes"])
    parser.add_argument("--pooler-config", type=json.loads)
    parser.add_argument("--structured-outputs-config", type=json.loads)
    return parser


def error(status, message):
    told = {"error": {"message": message, "type": "BadRequestError", "param": None, "code": status}}
    return web.json_response(told, status=status)


class Played:
    def __init__(self, given):
        self.given = given
        self.adapters = {}
        self.seen = []
        self.running = 0
        self.aborted = 0
        self.asleep = False
        self.slept = 0

    def application(self):
        app = web.Application()
        app.router.add_get("/health", self.health)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/seen", self.tell)
        for path in ("/v1/completions", "/v1/chat/completions"):
            app.router.add_post(path, self.generate)
        app.router.add_post("/v1/embeddings", self.embed)
        app.router.add_post("/tokenize", self.tokenize)
        if self.given.enable_sleep_mode and os.environ.get("VLLM_SERVER_DEV_MODE") == "1":
            app.router.add_post("/sleep", self.sleep)
            app.router.add_post("/wake_up", self.wake)
            app.router.add_get("/is_sleeping", self.is_sleeping)
        if self.given.enable_lora and os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING") == "1":
            app.router.add_post("/v1/load_lora_adapter", self.load_adapter)
            app.router.add_post("/v1/unload_lora_adapter", self.unload_adapter)
        return app

    async def health(self, _):
        return web.Response()

    async def metrics(self, _):
        return web.Response(
            text="# HELP vllm:cache_config_info Information\n"
            'vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="256",num_cpu_blocks="None"} 1.0\n'
            f'vllm:num_requests_running{{engine="0"}} {self.running}.0\n'
        )

    async def tell(self, _):
        told = {
            "seen": self.seen,
            "running": self.running,
            "aborted": self.aborted,
            "slept": self.slept,
            "flags": vars(self.given),
        }
        names = ("CUDA_VISIBLE_DEVICES", "PYTHONPATH", "VLLM_CACHE_ROOT", "HF_HUB_OFFLINE")
        return web.json_response({**told, "environment": {name: os.environ.get(name) for name in names}})

    async def body(self, request):
        body = await request.json()
        self.seen.append({**body, "request_id": request.headers.get("x-request-id")})
        if self.asleep:
            return body, error(503, "The engine sleeps.")
        name = body.get("model")
        if name and name != self.given.served_model_name and name not in self.adapters:
            return body, error(404, f"The model `{name}` does not exist.")
        if body.get("priority") and self.given.scheduling_policy != "priority":
            return body, error(400, "Got priority but priority scheduling is not enabled.")
        if body.get("suffix"):
            return body, error(400, "suffix is not currently supported")
        return body, None

    async def tokenize(self, request):
        count = len((await request.json())["prompt"])
        return web.json_response({"count": count, "max_model_len": self.given.max_model_len, "tokens": [7] * count})

    async def generate(self, request):
        body, refused = await self.body(request)
        if refused is not None:
            return refused
        chat = request.path.startswith("/v1/chat")
        tokens = body.get("max_tokens") or 16
        if tokens > self.given.max_model_len and not body.get("stream"):
            return error(400, f"max_tokens={tokens} cannot be greater than max_model_len={self.given.max_model_len}.")
        if not body.get("stream"):
            await asyncio.sleep(0.005 * tokens if tokens > 100 else 0)
            thought = tokens // 2 if self.given.reasoning_parser else 0
            text = "x" * (tokens - thought)
            message = {"role": "assistant", "content": text, "reasoning": "t" * thought or None}
            choice = {"message": message} if chat else {"text": text}
            choices = [{"index": 0, "finish_reason": "length", **choice}]
            return web.json_response({"id": "a", "model": "m", "choices": choices, "usage": self.usage(tokens)})
        return await self.stream(request, body, tokens, chat=chat)

    async def stream(self, request, body, tokens, *, chat):
        options = body.get("stream_options") or {}
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        self.running += 1
        try:
            thought = tokens // 2 if chat and self.given.reasoning_parser else 0
            for number in range(1, tokens + 1):
                said = {"delta": {"content": "x"}} if chat else {"text": "x"}
                said = {"delta": {"reasoning": "t"}} if number <= thought else said
                event = {"id": "a", "choices": [{"index": 0, "finish_reason": None, **said}]}
                if options.get("continuous_usage_stats"):
                    event["usage"] = self.usage(number)
                await self.event(response, event)
                await asyncio.sleep(0.01 if tokens > 1000 else 0)
        except (ConnectionError, asyncio.CancelledError):
            self.aborted += 1
            raise
        finally:
            self.running -= 1
        if body.get("seed") == 666:
            await self.event(response, {"error": {"message": "EngineCore died", "type": "Internal", "code": 500}})
        elif options.get("include_usage"):
            await self.event(response, {"id": "a", "choices": [], "usage": self.usage(tokens, cached=3)})
        await response.write(b"data: [DONE]\n\n")
        return response

    async def event(self, response, content):
        await response.write(b"data: " + json.dumps(content, separators=(",", ":")).encode() + b"\n\n")

    def usage(self, tokens, cached=None):
        details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
        return {"prompt_tokens": 5, "total_tokens": 5 + tokens, "completion_tokens": tokens, **details}

    async def embed(self, request):
        body, refused = await self.body(request)
        if refused is not None or self.given.runner != "pooling":
            return refused or error(404, "Not Found")
        data = [{"object": "embedding", "index": 0, "embedding": [1.0, 0.0]}]
        return web.json_response({"data": data, "usage": {"prompt_tokens": len(body["input"]), "total_tokens": 1}})

    async def sleep(self, request):
        assert dict(request.query) == {"level": "1", "mode": "wait"}
        self.asleep = True
        self.slept += 1
        return web.Response()

    async def wake(self, _):
        self.asleep = False
        return web.Response()

    async def is_sleeping(self, _):
        return web.json_response({"is_sleeping": self.asleep})

    async def load_adapter(self, request):
        body = await request.json()
        if body["lora_name"] in self.adapters:
            return error(400, f"The lora adapter '{body['lora_name']}' has already been loaded.")
        if not await asyncio.to_thread(Path(body["lora_path"]).is_dir):
            return error(404, f"No adapter found for {body['lora_path']}")
        found = Path(body["lora_path"], "adapter_config.json")
        rank = json.loads(await asyncio.to_thread(found.read_text))["r"]
        if rank > self.given.max_lora_rank:
            why = f"LoRA rank {rank} is greater than max_lora_rank {self.given.max_lora_rank}."
            return error(500, f"Call to add_lora method failed: Worker failed with error '{why}', please check the log")
        self.adapters[body["lora_name"]] = body["lora_path"]
        return web.Response(text="Success: LoRA adapter added successfully")

    async def unload_adapter(self, request):
        body = await request.json()
        if self.adapters.pop(body["lora_name"], None) is None:
            return error(404, f"The lora adapter '{body['lora_name']}' cannot be found.")
        return web.Response(text="Success: LoRA adapter removed successfully")


async def serve(given):
    runner = web.AppRunner(Played(given).application(), handler_cancellation=True)
    await runner.setup()
    await web.UnixSite(runner, given.uds).start()
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    await runner.cleanup()


def main():
    arguments = sys.argv[1:]
    while arguments[0] in {"-I", "-W"}:
        arguments = arguments[1 + (arguments[0] == "-W") :]
    if arguments[0] == "-c":
        sys.stdout.write("0.33.0\n")
        return
    assert arguments[:2] == ["-m", "vllm.entrypoints.cli.main"], arguments
    given = flags().parse_args(arguments[2:])
    if os.environ.get("PLAYED_FAILS"):
        sys.stderr.write(LAST_WORDS)
        sys.exit(1)
    asyncio.run(serve(given))


main()
