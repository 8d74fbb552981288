"""Runs a program that does not watch its standard input, and ends it when ours closes: `leash.py PROGRAM ARGUMENT...`.

Whoever is killed closes the standard input of what it has started. Signals to end are passed on. When the program
fails, or ends though nobody told it to, the last line of the log says why, where its own last line does not. Knows
nothing of Penstock.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from types import FrameType

FOREIGN = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "VIRTUAL_ENV"})
"""Variables that belong to our interpreter, and not to the program's."""
TAIL_BYTES = 256 * 1024
_ERROR = re.compile(r"\b((?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception)): (\S.*)$")
_VALUE = re.compile(r"^\s+(?:Value|Assertion) error, (\S.*?)(?: \[type=.*)?$")
"""What a configuration that pydantic refuses is refused for: it stands in the line after the error's."""
_SAYS_NOTHING = re.compile(r"see (?:the )?(?:root cause|stack trace|error)|initialization failed", re.IGNORECASE)


def reason(log: str) -> str:
    """The error that a log ends with; of several that follow from each other the one that says most, or nothing."""
    found = []
    for line in log.splitlines():
        if match := _ERROR.search(line.rstrip()):
            found.append((match[1], match[2]))
        elif found and (match := _VALUE.match(line)):
            found[-1] = ("ValueError", match[1])
    telling = [one for one in found if not _SAYS_NOTHING.search(one[1])]
    last = (telling or found)[-1:]
    return ": ".join(last[0]) if last else ""


def main(command: list[str]) -> int:
    """Runs it; returns its exit status, or 128 and the signal that ended it."""
    began = _log_size()
    running: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if running:
            running[0].send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    try:
        running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment))
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
        return 127
    for each in asked:  # while it was being started
        running[0].send_signal(each)
    threading.Thread(target=_end_with_parent, args=(running[0],), daemon=True).start()
    status = running[0].wait()
    # A server whose worker has died may shut down in good order.
    if (status > 0 or (status == 0 and not asked)) and (why := reason(_log_since(began))):
        sys.stderr.write(f"{why}\n")
    _end_group()
    return status if status >= 0 else 128 - status


def _end_with_parent(program: subprocess.Popen[bytes]) -> None:
    """Ends everything at once when the one that started us is gone."""
    while os.read(0, 4096):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    program.kill()
    os._exit(1)


def _end_group() -> None:
    """What the program has left behind: processes that hold a GPU's memory."""
    if os.getpgrp() == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)


def _log_size() -> int:
    try:
        return os.fstat(1).st_size
    except OSError:
        return 0


def _log_since(began: int) -> str:
    """What has been written to our standard output, if that is a file."""
    try:
        with open("/proc/self/fd/1", "rb") as log:  # noqa: PTH123 - not a path to look into
            size = log.seek(0, os.SEEK_END)
            log.seek(max(min(began, size), size - TAIL_BYTES))
            return log.read(TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
