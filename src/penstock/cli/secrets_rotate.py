"""`penstock secrets rotate`."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.bootstrap.rotation import rotate
from penstock.domain.errors import PenstockError
from penstock.settings import load


def run(flags: Mapping[str, Any], config: Path | None) -> int:
    """Rotates, says what was done, and returns the exit status: 0, or 1 if it could not be done."""
    try:
        done = asyncio.run(rotate(load(flags, os.environ, config)))
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        return 1
    print(f"{done.secrets} secrets were encrypted anew; all are under the key {done.key_id}.")
    if not done.made:
        print("Former keys are no longer needed: PENSTOCK_OLD_MASTER_KEY, or master.key in the data folder.")
    return 0
