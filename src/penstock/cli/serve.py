"""`penstock serve`."""

import gc
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from penstock.adapters.logs import start_logging
from penstock.bootstrap import Started, run
from penstock.domain.errors import PenstockError
from penstock.settings import PREFIX, load


def serve(flags: Mapping[str, Any], config: Path | None) -> int:
    """Runs the server and returns the exit status: 0 after a clean stop, 1 if it could not start."""
    try:
        settings = load(flags, os.environ, config)
        _forget_variables()
        start_logging(settings.log_format, settings.log_level)
        uvloop.run(run(settings, _tell))
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


def _forget_variables() -> None:
    """Takes ours out of what child processes inherit: some hold secrets, and none is for engines."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]


def _tell(started: Started) -> None:
    # What the start made is never garbage: it is left out of every later search, which keeps their pauses short.
    gc.freeze()
    gc.enable()
    if started.first_token is not None:
        print(f"The administrator's token, shown this once: {started.first_token}")
    print(f"Penstock listens on {started.address}", flush=True)
