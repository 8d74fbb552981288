"""Between our wire and vLLM's: what a request must have for it, and what of its answers is told in another way.

Both are OpenAI's; the rest is here. Pure: bytes in, bytes out.
"""

import re
from typing import Any

import msgspec

from penstock.adapters.engines.vllm_forms import check_forms
from penstock.domain.errors import InvalidRequest
from penstock.domain.prompts import is_tokens
from penstock.ports.relay import USAGE_COMMENT

EMBEDDINGS = "/v1/embeddings"
COMPLETIONS = "/v1/completions"
_TEXT = frozenset(
    {
        *("max_tokens", "temperature", "top_p", "top_k", "n", "stop", "stream", "seed", "presence_penalty"),
        *("frequency_penalty", "repetition_penalty", "logit_bias", "ignore_eos", "min_tokens", "response_format"),
        "logprobs",
    }
)
_FIELDS = {
    EMBEDDINGS: frozenset({"input"}),
    COMPLETIONS: _TEXT | {"prompt", "echo", "suffix"},
}
_CHAT = _TEXT | {
    *("messages", "max_completion_tokens", "top_logprobs", "tools", "tool_choice", "parallel_tool_calls"),
    "chat_template_kwargs",
}
_INSTEAD = {"functions": "tools", "function_call": "tool_choice"}
_CODES = {404: "RESOURCE_DOES_NOT_EXIST", 429: "REQUEST_LIMIT_EXCEEDED"}
_SERVER_ERROR = 500
_END = b"\n\n"
_DATA = b"data: "
_DONE = b"data: [DONE]\n\n"
_CACHE = re.compile(rb"^vllm:cache_config_info\{([^}]*)\}", re.MULTILINE)
_LABEL = re.compile(rb'(\w+)="([0-9]+)"')
_NO_CHOICES = b'"choices":[]'
_THOUGHT = b'"reasoning":'
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def wants_usage(body: dict[str, Any]) -> bool:
    """Whether the client asked for an event of its own with the usage at a stream's end."""
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def parsed(body: bytes) -> dict[str, Any]:
    """The fields of a body that the gateway has checked. Raises InvalidRequest if it is no JSON object."""
    try:
        found = _decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"The request body is not valid JSON: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    return found


def request(path: str, body: dict[str, Any], *, namespace: str, priority: int, adapter: str = "") -> bytes:
    """The body for vLLM: the fields that are ours to offer, and none of those that only whoever runs it may set.

    `priority`: what has the lowest number is computed first. `adapter` is the name of a LoRA adapter, empty for the
    model as it is. Raises InvalidRequest for what vLLM would pass over.
    """
    _check(body)
    check_forms(body)
    fields = _FIELDS.get(path, _CHAT)
    asked = {name: value for name, value in body.items() if name in fields and value is not None}
    asked["priority"] = priority
    if adapter:
        asked["model"] = adapter
    if path == EMBEDDINGS:
        asked["input"] = _instructed(asked.get("input"), body.get("instruction"))
        return _encode(asked)
    if namespace:
        asked["cache_salt"] = namespace
    if asked.get("stream"):
        asked["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    return _encode(asked)


def open_ended(path: str, body: dict[str, Any]) -> list[str | int]:
    """The prompts of a completion that may fill the context, each a text or a count of tokens; empty for others.

    vLLM would end it after 16 tokens, and must be told what the context leaves.
    """
    if path != COMPLETIONS or body.get("max_tokens") is not None:
        return []
    given = body.get("prompt")
    prompts = given if isinstance(given, list) and not is_tokens(given) else [given]
    return [len(one) if isinstance(one, list) else str(one) for one in prompts if one is not None]


def to_count(text: str) -> bytes:
    """The body with which its tokenizer is asked to count a text's tokens."""
    return _encode({"prompt": text})


def counted(body: bytes) -> tuple[int, int]:
    """What an answer of its tokenizer tells: tokens of the text, and of the context. Zeros if it does not."""
    try:
        told = _decode(body)
    except msgspec.DecodeError:
        return 0, 0
    found = [told.get(name) for name in ("count", "max_model_len")] if isinstance(told, dict) else []
    tokens, context = (one if isinstance(one, int) else 0 for one in found or (0, 0))
    return tokens, context


def spoken(said: bytes) -> bytes:
    """Thoughts under our name for them. Quotes in an answer's text are escaped, so that none is taken for a name."""
    if _THOUGHT not in said:
        return said
    said = said.replace(b',"reasoning":null', b"").replace(b'{"reasoning":', b'{"content":"","reasoning":')
    return said.replace(_THOUGHT, b'"reasoning_content":')


def _check(body: dict[str, Any]) -> None:
    for field, better in _INSTEAD.items():
        if body.get(field):
            raise InvalidRequest(f'parameter "{field}" is not supported: use "{better}"')
    if body.get("best_of") not in (None, body.get("n") or 1):
        raise InvalidRequest('parameter "best_of" is not supported by this engine unless it equals "n"')
    if body.get("dimensions") is not None:
        raise InvalidRequest('parameter "dimensions" is not supported by this model')


def refused(status: int, body: bytes) -> bytes:
    """An error of vLLM's in the shape of ours."""
    return _encode({"error_code": _code(status), "message": message_of(body) or f"The engine answered {status}."})


def message_of(body: bytes) -> str:
    """What an error of vLLM's says; empty if it is none."""
    try:
        told = _decode(body)
    except msgspec.DecodeError:
        return ""
    if not isinstance(told, dict):
        return ""
    error = told.get("error")
    return str((error.get("message") if isinstance(error, dict) else error) or told.get("message") or "")


class Events:
    """Rewrites the end of a stream; what is between passes as it came, except for the name of thoughts.

    The event that only tells the usage is left to clients who asked for it; for the gateway alone it is a comment. A
    stream that ends with an error does not end with `[DONE]`.
    """

    __slots__ = ("_failed", "_newest", "_rest", "_usage", "_wanted")

    def __init__(self, *, usage_wanted: bool) -> None:
        self._wanted = usage_wanted
        self._rest = b""
        self._usage = b""
        self._newest = b""
        self._failed = False

    def feed(self, chunk: bytes) -> bytes:
        """The events that are whole with this chunk; empty if none is to be passed on."""
        data = self._rest + chunk
        cut = data.rfind(_END) + len(_END)
        if cut < len(_END):
            self._rest = data
            return b""
        self._rest, data = data[cut:], data[:cut]
        if _NO_CHOICES not in data and b'"error"' not in data and _DONE not in data:
            self._newest = data
            return spoken(data)
        return b"".join(self._event(event + _END) for event in data.split(_END)[:-1])

    def rest(self) -> bytes:
        """What came after the last whole event."""
        left, self._rest = self._rest, b""
        return left

    def _event(self, event: bytes) -> bytes:
        if event == _DONE:
            return b"" if self._failed else self._usage + event
        if event.startswith(b'data: {"error"'):
            self._failed = True
            return _failed_event(event, _part(self._newest.split(_END)[-2:][0], "usage"))
        if _NO_CHOICES in event and not self._wanted:
            usage = _part(event, "usage")
            self._usage = b"" if usage is None else USAGE_COMMENT + _encode(usage) + b"\n"
            return b""
        self._newest = event
        return spoken(event)


def _failed_event(event: bytes, usage: object) -> bytes:
    """An error with what was used until then, which the event before tells."""
    error = _part(event, "error")
    told = error if isinstance(error, dict) else {}
    message = str(told.get("message") or "The engine failed.")
    status = told.get("code")
    code = _code(status if isinstance(status, int) else _SERVER_ERROR)
    about = {"message": message, "type": code, "code": code}
    used = {} if usage is None else {"usage": usage}
    return _DATA + _encode({"error": about, "error_code": code, "message": message, **used}) + _END


def _part(event: bytes, name: str) -> object:
    try:
        told = _decode(event.removeprefix(_DATA))
    except msgspec.DecodeError:
        return None
    return told.get(name) if isinstance(told, dict) else None


def _code(status: int) -> str:
    return "INTERNAL_ERROR" if status >= _SERVER_ERROR else _CODES.get(status, "BAD_REQUEST")


def _instructed(given: object, instruction: object) -> object:
    """Texts with the instruction before each of them."""
    if not instruction:
        return given
    texts = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidRequest('parameter "instruction" needs "input" to be text, not tokens')
    return [f"{instruction} {text}" for text in texts]


def kv_tokens(metrics: bytes) -> int:
    """Tokens that the KV cache holds, as vLLM's metrics tell; 0 if they do not."""
    found = _CACHE.search(metrics)
    labels = {name: int(value) for name, value in _LABEL.findall(found[1])} if found else {}
    return labels.get(b"kv_cache_size_tokens", labels.get(b"num_gpu_blocks", 0) * labels.get(b"block_size", 0))
