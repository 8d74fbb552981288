"""Fields that the platform's own decoder knows; in strict mode all others are refused."""

from penstock.domain.model import Task

_COMMON = {"model", "client_request_id", "usage_context", "extra_params", "user"}
_GENERATION = {"max_tokens", "temperature", "top_p", "top_k", "n", "stop", "stream", "logprobs"}
_CHAT = {
    "messages",
    "reasoning_effort",
    "response_format",
    "thinking",
    "tool_choice",
    "tools",
    "top_logprobs",
}
_COMPLETIONS = {"echo", "error_behavior", "prompt", "suffix", "use_raw_prompt"}
_EMBEDDINGS = {"encoding_format", "input", "instruction"}

STRICT_FIELDS = {
    Task.CHAT: frozenset(_COMMON | _GENERATION | _CHAT),
    Task.COMPLETIONS: frozenset(_COMMON | _GENERATION | _COMPLETIONS),
    Task.EMBEDDINGS: frozenset(_COMMON | _EMBEDDINGS),
}
