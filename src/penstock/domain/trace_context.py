"""W3C trace context: the headers `traceparent` and `tracestate`, which say what trace a request is part of.

What is not valid is as if it had not been sent, as the recommendation demands (https://www.w3.org/TR/trace-context/).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

SAMPLED = 1
_KNOWN_FLAGS = 3
MOST_MEMBERS = 32
MOST_STATE = 512
"""Characters of `tracestate` that are carried on; members beyond are left out, from the end."""
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY = r"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_MEMBER = re.compile(rf"({_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A span, by its trace's id (32 hexadecimal digits) and its own (16). `state` is what tracing systems add to it."""

    trace_id: str
    span_id: str
    flags: int = 0
    state: str = ""

    @property
    def sampled(self) -> bool:
        """Whether who made the span records it."""
        return bool(self.flags & SAMPLED)

    @property
    def parent(self) -> str:
        """The value of `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What a request carries that this span makes."""
        parent = ("traceparent", self.parent)
        return (parent, ("tracestate", self.state)) if self.state else (parent,)


def read_context(parents: Sequence[bytes], states: Sequence[bytes]) -> TraceContext | None:
    """What the headers say, as they were sent, in their order; None if that is nothing valid."""
    found = _PARENT.fullmatch(parents[0].decode("latin-1").strip()) if len(parents) == 1 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    # A version to come may say more; ff is not a version.
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & _KNOWN_FLAGS, _state(states))


def _state(states: Sequence[bytes]) -> str:
    members = [one.strip() for one in b",".join(states).decode("latin-1").split(",")]
    members = [one for one in members if one]
    keys = {one.partition("=")[0] for one in members}
    if len(members) > MOST_MEMBERS or len(keys) < len(members) or not all(map(_MEMBER.fullmatch, members)):
        return ""
    while len(",".join(members)) > MOST_STATE:
        members.pop()
    return ",".join(members)
