"""Spans of what has ended, by OpenTelemetry's conventions for generative AI and for HTTP.

A request has a span of its own, one for the time until it was sent to be computed, and one for each try with an engine
or a provider. No attribute has text of a prompt or an answer unless settings ask for it; reasons of refusals may quote
them, and are in the ledger only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from penstock.adapters.telemetry.said import asked_messages, told_messages
from penstock.domain.ended_request import EndedCall, EndedRequest, Leg, Traced
from penstock.domain.genai import OPERATIONS, OURS
from penstock.domain.request_sums import ttft_of
from penstock.domain.trace_context import TraceContext
from penstock.domain.usage import RequestRecord

Attributes = Mapping[str, str | int | float | bool]
_ERROR, _FAULT = 400, 500
_NS, _NS_IN_MS = 1_000_000_000, 1_000_000
QUEUE = "queue"


class Kind(StrEnum):
    """Where a span is, between who asks and who is asked."""

    SERVER = "server"
    CLIENT = "client"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Span:
    """One span; times are epoch nanoseconds. `error` is a word for what went wrong, empty if nothing did."""

    name: str
    kind: Kind
    context: TraceContext
    parent: TraceContext | None
    began_ns: int
    ended_ns: int
    attributes: Attributes = field(default_factory=dict)
    error: str = ""


def spans_of(ended: EndedRequest, traced: Traced) -> Iterator[Span]:
    """The spans of a request, its own first."""
    record, context = ended.record, traced.context
    began_ns = record.received_at * _NS_IN_MS
    ended_ns = began_ns + int(record.duration_ms * _NS_IN_MS)
    operation = operation_of(record)
    yield Span(
        f"{operation} {record.endpoint_name}",
        Kind.SERVER,
        context,
        traced.parent,
        began_ns,
        ended_ns,
        {**_of_request(ended, operation), **_said(traced)},
        str(record.status) if record.status >= _FAULT else "",
    )
    sent_ns = min(began_ns + int(record.queue_ms * _NS_IN_MS), ended_ns)
    waited = {"penstock.priority": record.priority, "penstock.lane": record.lane}
    about = {name: value for name, value in waited.items() if value}
    yield Span(QUEUE, Kind.INTERNAL, _beside(context), context, began_ns, sent_ns, about)
    for leg in traced.legs:
        yield _of_leg(leg, operation, record, context, began_ns, last=leg is traced.legs[-1])


def span_of_call(ended: EndedCall) -> Span:
    """The span of a request to the control plane."""
    traced, began_ns = ended.traced, ended.began_ms * _NS_IN_MS
    attributes: dict[str, str | int] = {
        "http.request.method": ended.method,
        "http.response.status_code": ended.status,
        "penstock.request.id": ended.request_id,
    }
    if ended.route:
        attributes["http.route"] = ended.route
    error = str(ended.status) if ended.status >= _FAULT else ""
    return Span(
        f"{ended.method} {ended.route}".strip(),
        Kind.SERVER,
        traced.context,
        traced.parent,
        began_ns,
        began_ns + int(ended.duration_s * _NS),
        attributes | ({"error.type": error} if error else {}),
        error,
    )


def operation_of(record: RequestRecord) -> str:
    """What the conventions call a request's task."""
    return next((name for task, name in OPERATIONS.items() if task == record.task), "chat")


def error_of(record: RequestRecord) -> str:
    """The kind of error that a request ended with: its status; empty if it was answered."""
    return str(record.status) if record.status >= _ERROR else ""


def _beside(context: TraceContext) -> TraceContext:
    """A span of the same trace that nobody is told of, so that its id need not be drawn."""
    return replace(context, span_id=f"{(int(context.span_id, 16) + 1) % (1 << 64) or 1:016x}")


def _of_request(ended: EndedRequest, operation: str) -> dict[str, str | int | float | bool]:
    record = ended.record
    found: dict[str, str | int | float | bool] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": OURS,
        "gen_ai.request.model": record.endpoint_name,
        "gen_ai.request.stream": record.streaming,
        "http.request.method": "POST",
        "http.response.status_code": record.status,
        "penstock.request.id": record.request_id,
        "penstock.endpoint.name": record.endpoint_name,
        "penstock.outcome": record.outcome.value,
        **_used(record),
    }
    if record.served_entity:
        found["penstock.served_entity.name"] = record.served_entity
    if ended.overhead_ms >= 0:
        found["penstock.overhead.duration"] = ended.overhead_ms / 1000
    ttft_s = ttft_of(record)
    if ttft_s is not None:
        found["gen_ai.response.time_to_first_chunk"] = ttft_s
    error = error_of(record)
    return found | ({"error.type": error} if error else {})


def _of_leg(
    leg: Leg, operation: str, record: RequestRecord, parent: TraceContext, began_ns: int, *, last: bool
) -> Span:
    found: dict[str, str | int | float | bool] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": leg.provider,
        "gen_ai.request.model": leg.model,
        "gen_ai.request.stream": record.streaming,
        "penstock.served_entity.name": leg.entity,
    }
    if last and not leg.error:
        found |= _used(record)
    if leg.error:
        found["error.type"] = leg.error
    return Span(
        f"{operation} {leg.model}",
        Kind.CLIENT,
        leg.context,
        parent,
        began_ns + int(leg.began_s * _NS),
        began_ns + int(max(leg.ended_s, leg.began_s) * _NS),
        found,
        leg.error,
    )


def _used(record: RequestRecord) -> dict[str, int]:
    used = record.usage
    if not used.prompt_tokens and not used.completion_tokens:
        return {}
    found = {"gen_ai.usage.input_tokens": used.prompt_tokens, "gen_ai.usage.output_tokens": used.completion_tokens}
    return found | ({"gen_ai.usage.cache_read.input_tokens": used.cached_tokens} if used.cached_tokens else {})


def _said(traced: Traced) -> dict[str, str]:
    if traced.said is None:
        return {}
    asked, told = traced.said
    found = {"gen_ai.input.messages": asked_messages(asked), "gen_ai.output.messages": told_messages(told)}
    return {name: value for name, value in found.items() if value}
