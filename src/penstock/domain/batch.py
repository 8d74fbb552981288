"""A batch on the server: a file of rows, and how far it is. In the words of OpenAI's Batch API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from penstock.domain.batch_row import TASKS
from penstock.domain.errors import InvalidParameter

WINDOW = "24h"
WINDOW_MS = 24 * 3600 * 1000
MAX_METADATA = 16
MAX_KEY = 64
MAX_VALUE = 512
MAX_FILENAME = 255
ANCHOR = "created_at"
LEAST_EXPIRY_S = 3600
MOST_EXPIRY_S = 30 * 24 * 3600


class BatchState(StrEnum):
    """How a batch stands."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


ENDED = frozenset({BatchState.COMPLETED, BatchState.FAILED, BatchState.CANCELLED, BatchState.EXPIRED})
OPEN = frozenset(BatchState) - ENDED


class Purpose(StrEnum):
    """What a file is for."""

    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of rows or of answers. `owner` is a principal's id; `size` in bytes; times in epoch milliseconds.

    At `expires_at` it is removed; 0 is never.
    """

    id: str
    owner: str
    purpose: Purpose
    filename: str
    size: int
    created_at: int
    expires_at: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a batch failed; `line` of its file, 0 where it is not about one."""

    code: str
    message: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of a batch."""

    total: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch. `owner` is the id of the principal who asks; `times` has the epoch ms of each state that was reached.

    `output_expiry_s` is for how long its files of answers are kept, from their end on; 0 is as the server has it.
    """

    id: str
    owner: str
    url: str
    input_file: str
    state: BatchState
    created_at: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    times: Mapping[str, int] = field(default_factory=dict)
    counts: Counts = Counts()
    problems: tuple[Problem, ...] = ()
    output_file: str = ""
    error_file: str = ""
    output_expiry_s: int = 0

    @property
    def expires_at(self) -> int:
        """When what is not done by then is given up, epoch milliseconds."""
        return self.created_at + WINDOW_MS

    def at(self, state: BatchState, now_ms: int) -> "Batch":
        """The batch in a new state."""
        return replace(self, state=state, times={**self.times, state.value: now_ms})


def check_new(url: str, window: str, metadata: Mapping[str, str]) -> None:
    """Raises InvalidParameter if a batch may not be asked for like this."""
    if url not in TASKS:
        raise InvalidParameter(f"endpoint must be one of {', '.join(TASKS)}, but is '{url[:80]}'.")
    if window != WINDOW:
        raise InvalidParameter(f"completion_window must be '{WINDOW}', but is '{window[:80]}'.")
    wrong = [key for key, value in metadata.items() if len(key) > MAX_KEY or len(value) > MAX_VALUE]
    if len(metadata) > MAX_METADATA or wrong or "\0" in json.dumps(dict(metadata), ensure_ascii=False):
        raise InvalidParameter(
            f"metadata must have at most {MAX_METADATA} keys of at most {MAX_KEY} characters with values of at most "
            f"{MAX_VALUE}, without NUL."
        )


def check_expiry(field: str, anchor: str, seconds: str | int) -> int:
    """The seconds for which a file is asked to be kept; raises InvalidParameter that names what is wrong in `field`."""
    if anchor != ANCHOR:
        raise InvalidParameter(f"{field}[anchor] must be '{ANCHOR}', but is '{anchor[:80]}'.")
    text = str(seconds)
    asked = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_EXPIRY_S)) else 0
    if not LEAST_EXPIRY_S <= asked <= MOST_EXPIRY_S:
        raise InvalidParameter(
            f"{field}[seconds] must be a whole number from {LEAST_EXPIRY_S} to {MOST_EXPIRY_S}, but is '{text[:80]}'."
        )
    return asked


def check_filename(name: str) -> str:
    """The name of a file as it is shown, without folders; raises InvalidParameter if it is none."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1].strip()
    if not 1 <= len(last) <= MAX_FILENAME or not last.isprintable():
        raise InvalidParameter(f"filename must have 1 to {MAX_FILENAME} printable characters.")
    return last
