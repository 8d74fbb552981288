"""`penstock batch`."""

import asyncio
import sys

from rich.console import Console

from penstock.adapters.clock import SystemClock
from penstock.batch.run import Wish, run
from penstock.domain.errors import PenstockError

INTERRUPTED = 130


def batch(wish: Wish) -> int:
    """Runs the batch and returns the exit status: 0, 1 if it stopped on the way, 2 if rows have errors."""
    console = Console(stderr=True, highlight=False)
    try:
        return asyncio.run(run(wish, SystemClock(), console))
    except PenstockError as error:
        print(f"{error.message} What is done is kept: the same command goes on from there.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What is done is kept: the same command goes on from there.", file=sys.stderr)
        return INTERRUPTED
