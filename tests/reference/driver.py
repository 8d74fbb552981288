"""Runs the engine's own interpreter over the prompts of a job, and writes what the model gave.

usage: driver.py JOB_JSON

The job: {"model", "cache", "precisions", "kind", "prompts", "steps", "out"}; out: a folder for PRECISION.npz. With
adapters: {"adapters": {name: folder}, "chosen": [name for each prompt]} too.
"""

import json
import sys
from pathlib import Path

import numpy as np

from penstock_engine.loader import load_decoder, load_encoder
from penstock_engine.work import Precision, Work

FIRST_CHUNK = 17


def log_softmax(row):
    row = row.astype(np.float64)
    return row - row.max() - np.log(np.exp(row - row.max()).sum())


def decode(decoder, prompts, steps, adapters):
    """Greedy answers after a prompt in two ragged chunks, and the logits of every position of the prompt as a whole."""
    out = {}
    for number, (prompt, adapter) in enumerate(zip(prompts, adapters, strict=True)):
        tokens = np.array(prompt, np.int64)
        needed = -(-(tokens.size + steps) // decoder.block_size)
        table = np.arange(decoder.num_blocks, dtype=np.int32)[::-1][:needed].copy()
        out[f"rows{number}"] = np.array(decoder.step([Work(0, tokens, table, tokens.size, adapter)]))
        decoder.step([Work(0, tokens[:FIRST_CHUNK], table, 0, adapter)])
        past, new, chosen, logprobs = FIRST_CHUNK, tokens[FIRST_CHUNK:], [], []
        for _ in range(steps):
            row = log_softmax(decoder.step([Work(past, new, table, 1, adapter)])[0])
            past, new = past + new.size, np.array([row.argmax()])
            chosen.append(int(new[0]))
            logprobs.append(row[new[0]])
        out[f"tokens{number}"], out[f"logprobs{number}"] = np.array(chosen), np.array(logprobs)
    return out


def embed(encoder, prompts):
    """Vectors of the texts side by side, padded, and one at a time."""
    texts = [np.array(prompt, np.int64) for prompt in prompts]
    return {"padded": encoder.embed(texts), "single": np.concatenate([encoder.embed([text]) for text in texts])}


def main():
    job = json.loads(Path(sys.argv[1]).read_text())
    model, cache = Path(job["model"]), Path(job["cache"])
    for precision in map(Precision, job["precisions"]):
        if job["kind"] == "encoder":
            out = embed(load_encoder(model, cache, precision, print), job["prompts"])
        else:
            folders = {name: Path(folder) for name, folder in job.get("adapters", {}).items()}
            decoder = load_decoder(model, cache, precision, 256 << 20, print, adapters=folders)
            chosen = job.get("chosen") or [""] * len(job["prompts"])
            out = decode(decoder, job["prompts"], job["steps"], chosen)
        np.savez(Path(job["out"]) / f"{precision}.npz", **out)


main()
