"""Tokens per second of the engine's own program, asked over its socket.

REQUESTS at once, each of ASKED tokens; texts are answered with ANSWERED tokens each, and both are counted.
"""

import random
import time
from concurrent.futures import ThreadPoolExecutor

REQUESTS, ASKED, ANSWERED = 8, 64, 32


def completions(client, vocabulary):
    """Of a decoder."""
    fields = {"max_tokens": ANSWERED, "ignore_eos": True, "temperature": 0, "expected": ASKED + ANSWERED}
    return _rate(client, "/v1/completions", "prompt", vocabulary, **fields)


def embeddings(client, vocabulary):
    """Of an encoder."""
    return _rate(client, "/v1/embeddings", "input", vocabulary, expected=ASKED)


def told(rate, parameters):
    """A cell of the table."""
    return f"{rate:,.0f} of {parameters / 1e6:.1f} M parameters"


def _rate(client, path, field, vocabulary, *, expected, **fields):
    numbers = random.Random(5)
    prompts = [[numbers.randrange(5, vocabulary) for _ in range(ASKED)] for _ in range(REQUESTS + 1)]

    def ask(prompt):
        answer = client.post(path, json={"model": "tiny", field: prompt, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()["usage"]["total_tokens"]

    assert ask(prompts.pop()) == expected
    with ThreadPoolExecutor(REQUESTS) as threads:
        began = time.perf_counter()
        total = sum(threads.map(ask, prompts))
        passed = time.perf_counter() - began
    assert total == REQUESTS * expected
    return total / passed
