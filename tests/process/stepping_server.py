"""`penstock` over a wall clock that a file sets: what is in it, in seconds, is added to the system's."""

import os
import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

from penstock.adapters.clock import SystemClock
from penstock.bootstrap import run
from penstock.cli.main import main

if __name__ == "__main__":
    ahead = Path(os.environ.pop("CLOCK_FILE"))
    clock = SystemClock(wall_ns=lambda: time.time_ns() + int(ahead.read_text()) * 10**9)
    with patch("penstock.cli.serve.run", partial(run, clock=clock)):
        main()
