"""What a request used, and how it ended: one row of the ledger."""

from dataclasses import dataclass
from enum import StrEnum


class RequestOutcome(StrEnum):
    """How a request ended; each ends exactly once."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Usage:
    """As the engine counted: tokens, and `measured_s` seconds of the device, 0 if it does not tell.

    `estimated`: whoever answered did not tell the tokens, or not to the end; they are guessed from lengths of texts.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    measured_s: float = 0.0
    estimated: bool = False


UNTOLD = Usage(estimated=True)
"""Of what was computed, and whose engine does not tell what that used: it has to be guessed."""


def guessed(prompt_characters: int, answer_characters: int) -> Usage:
    """Usage by the platform's rule where nobody tells it: a token is taken to have four characters."""
    return Usage((prompt_characters + 1) // 4, (answer_characters + 1) // 4, estimated=True)


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request in the ledger. Times are epoch milliseconds; durations milliseconds; `ttft_ms` -1 if nothing came.

    `reason` says in a few words why it was rejected, failed or cancelled. `device_s` is what it cost by the cost model,
    in seconds of the device, and `reference_tokens` the same at the endpoint's own rate, as it was really used;
    `asked_tokens` is what it was estimated at when it came, refused or not, in reference tokens. `priority` is
    `reserved`, `shared` or `batch`; `lane` is `guaranteed`, `lent`, or empty if it never went to an engine; `within`
    says that it came within the endpoint's allotment; `decision` is what the gate decided, in a sentence, empty if it
    did not come to the gate; `trace_id` is that of its W3C trace, empty if it is part of none. The rest is set when it
    is stored (`domain.ledger_entry`): `minute` is the minute that counts it, `open_from` the first one that was not
    closed then, both epoch milliseconds, and `digest` the SHA-256 of all else. A `minute` of 0 is before the ledger.
    """

    request_id: str
    endpoint_id: str
    endpoint_name: str
    served_entity: str
    replica_id: str
    principal: str
    task: str
    streaming: bool
    received_at: int
    outcome: RequestOutcome
    status: int
    usage: Usage
    queue_ms: float
    ttft_ms: float
    duration_ms: float
    reason: str = ""
    client_request_id: str = ""
    device_s: float = 0.0
    reference_tokens: float = 0.0
    asked_tokens: float = 0.0
    priority: str = ""
    lane: str = ""
    within: bool = False
    minute: int = 0
    open_from: int = 0
    digest: str = ""
    decision: str = ""
    trace_id: str = ""

    @property
    def breach(self) -> bool:
        """Whether the promise was broken: it came within the allotment, and failed through no fault of the client."""
        return self.within and self.outcome is RequestOutcome.FAILED
