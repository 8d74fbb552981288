"""How long a request will be, told from its body alone: prompts are not tokenized here, the engine does that."""

from dataclasses import dataclass

from penstock.domain.model import Task
from penstock.domain.usage import Usage
from penstock.gateway.call import Asked

FIRST_GUESS = 4.0
"""Characters that a token is taken to have before the first answer tells."""
UNBOUNDED = 1 << 20
"""Tokens of an answer whose request sets no limit: what is expected is the endpoint's mean anyway."""
_OLD_PART = 0.9
_FEWEST = 0.25


@dataclass(frozen=True, slots=True)
class Size:
    """Tokens of the prompt, and most tokens of all its answers."""

    tokens_in: int
    most_out: int


class Counter:
    """Learns, for each served entity, how many characters a token has."""

    def __init__(self) -> None:
        self._characters: dict[tuple[str, str], float] = {}

    def size(self, endpoint_id: str, entity: str, task: Task, asked: Asked) -> Size:
        """The size of a request before it is computed."""
        most_out = 0
        if task is not Task.EMBEDDINGS:
            most_out = min((UNBOUNDED if asked.most_out is None else asked.most_out) * asked.choices, UNBOUNDED)
        if asked.counted:
            return Size(asked.size, most_out)
        return Size(1 + int(asked.size / self._characters.get((endpoint_id, entity), FIRST_GUESS)), most_out)

    def learn(self, endpoint_id: str, entity: str, asked: Asked, usage: Usage) -> None:
        """Compares with what the engine counted."""
        if asked.counted or not usage.prompt_tokens or not asked.size:
            return
        seen = max(asked.size / usage.prompt_tokens, _FEWEST)
        key = (endpoint_id, entity)
        before = self._characters.get(key)
        self._characters[key] = seen if before is None else _OLD_PART * before + (1 - _OLD_PART) * seen
