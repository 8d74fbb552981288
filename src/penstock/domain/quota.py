"""What a whole workspace may use of a model that is paid by the token: calls, input and output tokens per minute."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    """Most calls, input tokens and output tokens in any 60 seconds, for all users together."""

    calls: int
    input_tokens: int
    output_tokens: int
