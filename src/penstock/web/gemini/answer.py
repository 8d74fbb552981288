"""An answer, whole or a piece of one."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from penstock.domain.errors import EngineFailed
from penstock.web.openai.chat_answer import FILTERED, LENGTH, Choice, Part, Used, parts_of

_REASONS = {LENGTH: "MAX_TOKENS", FILTERED: "SAFETY"}


class _Score(Struct):
    token: str
    logprob: float


class _Row(_Score):
    top_logprobs: list[_Score] = []


_row = msgspec.json.Decoder(_Row)


def content(
    request_id: str, model: str, candidates: Sequence[dict[str, Any]], used: Used | None = None
) -> dict[str, Any]:
    """An answer; `used` is told where it is known."""
    found = {"candidates": candidates, "modelVersion": model, "responseId": request_id}
    return found if used is None else found | {"usageMetadata": _usage(used)}


def candidate(
    parts: Sequence[dict[str, Any]], finish: str | None = None, logprobs: Sequence[Raw] = (), index: int = 0
) -> dict[str, Any]:
    """A candidate with what has been said; `finish` is why it ended in chat's words, None if it has not."""
    found: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": index}
    if finish is not None:
        found["finishReason"] = _REASONS.get(finish, "STOP")
    if logprobs:
        found["logprobsResult"] = _logprobs(logprobs)
    return found


def whole(place: int, choice: Choice, *, thoughts: bool) -> dict[str, Any]:
    """A complete candidate; raises EngineFailed if a call's arguments are no JSON object."""
    thought = choice.message.thoughts if thoughts and choice.message else ""
    found = parts_of(choice)
    told = [*([part(thought, thought=True)] if thought else []), *map(told_part, found)]
    logprobs = [row for one in found for row in one.logprobs]
    return candidate(told, choice.finish_reason or "", logprobs, place)


def told_part(one: Part) -> dict[str, Any]:
    """A part that is complete; raises EngineFailed if it is a call whose arguments are no JSON object."""
    if not one.calls:
        return part(one.text)
    call = {"functionCall": {"id": one.call_id, "name": one.name, "args": one.arguments}}
    return call | ({"thoughtSignature": one.signature} if one.signature else {})


def part(text: str, *, thought: bool = False) -> dict[str, Any]:
    """A text, or a thought."""
    return {"text": text, "thought": True} if thought else {"text": text}


def _usage(used: Used) -> dict[str, int]:
    """Tokens. Thoughts do not count among the candidates' here, but beside them."""
    found = {
        "promptTokenCount": used.prompt_tokens,
        "candidatesTokenCount": max(used.completion_tokens - used.reasoning, 0),
        "totalTokenCount": used.prompt_tokens + used.completion_tokens,
    }
    if used.reasoning:
        found["thoughtsTokenCount"] = used.reasoning
    if used.cached:
        found["cachedContentTokenCount"] = used.cached
    return found


def _logprobs(rows: Iterable[Raw]) -> dict[str, Any]:
    try:
        read = [_row.decode(row) for row in rows]
    except msgspec.DecodeError as error:
        raise EngineFailed(f"The model's log probabilities are not those of a chat model: {error}") from error
    found: dict[str, Any] = {"chosenCandidates": [_score(row) for row in read]}
    if any(row.top_logprobs for row in read):
        found["topCandidates"] = [{"candidates": [_score(one) for one in row.top_logprobs]} for row in read]
    return found


def _score(score: _Score) -> dict[str, Any]:
    return {"token": score.token, "logProbability": score.logprob}
