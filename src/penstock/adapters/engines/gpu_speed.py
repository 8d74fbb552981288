"""Prints what GPUs do with PyTorch, operations and bytes per second of all that this process sees.

Run as a file, by an interpreter that has PyTorch: it knows nothing of Penstock.
"""

import importlib
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

SIZE = 8192
BYTES = 2**30
REPEATS = 5
WARM_UP = 2


def main() -> int:
    """A product of bf16 matrices, and reading memory, on each GPU by itself."""
    torch: Any = importlib.import_module("torch")
    count = torch.cuda.device_count()
    if not count:
        sys.stderr.write("PyTorch sees no GPU here\n")
        return 1
    operations = read = 0.0
    for number in range(count):
        with torch.cuda.device(number):
            one = torch.randn(SIZE, SIZE, device="cuda", dtype=torch.bfloat16)
            operations += 2 * SIZE**3 / _best(partial(torch.matmul, one, one), torch)
            big = torch.ones(BYTES // 4, device="cuda", dtype=torch.float32)
            read += BYTES / _best(big.sum, torch)
    sys.stdout.write(f"{operations} {read}\n")
    return 0


def _best(work: Callable[[], object], torch: Any) -> float:
    """Seconds, the fewest of several times."""
    found = []
    for _ in range(WARM_UP + REPEATS):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
    return min(found[WARM_UP:])


if __name__ == "__main__":
    sys.exit(main())
