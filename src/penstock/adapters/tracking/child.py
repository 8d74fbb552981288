"""Serves an ASGI application on a Unix socket until its standard input closes: `child.py APP SOCKET FOLDER`.

Run as a file, by any interpreter that has uvicorn and the application: it knows nothing of Penstock.
"""

import importlib
import os
import sys
import threading
import traceback
from pathlib import Path

NOT_INSTALLED = 3
NICENESS = 5
GRACE_S = 5
KEEP_ALIVE_S = 75
"""Longer than the one who asks keeps idle connections, so that no request meets one that was just closed."""


def end_with_parent() -> None:
    """Ends this process when the one that started it is gone, however that came."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def main(application: str, socket: str, folder: str) -> int:
    """Serves; the exit status is NOT_INSTALLED if a module is missing."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    # Engines come first: they are what is sold.
    os.nice(NICENESS)
    os.chdir(folder)
    module, _, name = application.partition(":")
    try:
        import uvicorn

        served = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        traceback.print_exc()
        return NOT_INSTALLED
    Path(socket).unlink(missing_ok=True)
    uvicorn.run(
        served,
        uds=socket,
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
