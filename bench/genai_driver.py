"""OpenVINO GenAI's continuous batching pipeline, told on standard input what to answer; for .bench-env.

One JSON object per line. In: {"prompts": [[token id, ...], ...], "max_tokens": n}. Out: {"seconds": s, "tokens": n}
once all of them, given at the same moment, have been answered to the last token; first of all {"ready": true}.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
import openvino
import openvino_genai


def main() -> None:
    args = _arguments()
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.num_kv_blocks = args.kv_blocks
    scheduler.max_num_batched_tokens = args.batched_tokens
    scheduler.max_num_seqs = args.max_running
    scheduler.dynamic_split_fuse = not args.no_split_fuse
    scheduler.enable_prefix_caching = False
    properties = dict(pair.split("=", 1) for pair in args.property)
    pipeline = openvino_genai.ContinuousBatchingPipeline(args.model, scheduler, "CPU", properties)
    _say({"ready": True})
    for line in sys.stdin:
        order = json.loads(line)
        _say(_answer(pipeline, order["prompts"], order["max_tokens"]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="directory of the exported model")
    parser.add_argument("--kv-blocks", type=int, required=True)
    parser.add_argument(
        "--batched-tokens", type=int, required=True, help="tokens in a step, prompts and answers together"
    )
    parser.add_argument("--max-running", type=int, required=True)
    parser.add_argument("--no-split-fuse", action="store_true", help="whole prompts in steps of their own")
    parser.add_argument("--property", action="append", default=[], help="NAME=VALUE for the CPU plugin")
    return parser.parse_args()


def _answer(
    pipeline: openvino_genai.ContinuousBatchingPipeline, prompts: list[list[int]], max_tokens: int
) -> dict[str, float]:
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = max_tokens
    config.ignore_eos = True
    config.do_sample = False
    start = time.perf_counter()
    handles = [
        pipeline.add_request(n, openvino.Tensor(np.array([prompt], np.int64)), config)
        for n, prompt in enumerate(prompts)
    ]
    while pipeline.has_non_finished_requests():
        pipeline.step()
    seconds = time.perf_counter() - start
    answers = sum(len(output.generated_ids) for handle in handles for output in handle.read_all())
    return {"seconds": seconds, "tokens": sum(map(len, prompts)) + answers}


def _say(message: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
