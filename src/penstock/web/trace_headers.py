"""The trace context in the headers of a request."""

from collections.abc import Iterable

from penstock.domain.trace_context import TraceContext, read_context

_PARENT, _STATE = b"traceparent", b"tracestate"


def context_of(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext | None:
    """What the client says of its trace; None if that is nothing, or not valid."""
    told = [pair for pair in headers if pair[0] in (_PARENT, _STATE)]
    if not told:
        return None
    parents = [value for name, value in told if name == _PARENT]
    return read_context(parents, [value for name, value in told if name == _STATE])
