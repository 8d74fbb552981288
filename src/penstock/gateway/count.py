"""How long a request will be, told from its body alone: prompts are not tokenized here, the engine does that."""

from collections.abc import Collection
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
    """Tokens of all `prompts`, and most tokens of all their answers."""

    tokens_in: int
    most_out: int
    prompts: int = 1


@dataclass(slots=True)
class Ratio:
    """Characters of a token, and how many prompts have told them."""

    characters: float = FIRST_GUESS
    prompts: int = 0


class Counter:
    """Learns, for each served entity, how many characters a token has."""

    def __init__(self) -> None:
        self._ratios: dict[tuple[str, str], Ratio] = {}

    def ratio(self, endpoint_id: str, entity: str) -> Ratio:
        """What is known of a served entity."""
        return self._ratios.get((endpoint_id, entity)) or Ratio()

    def forget(self, endpoint_id: str, kept: Collection[str] = ()) -> None:
        """An endpoint is gone, or its served entities but those `kept`."""
        for key in [key for key in self._ratios if key[0] == endpoint_id and key[1] not in kept]:
            del self._ratios[key]

    def size(self, endpoint_id: str, entity: str, task: Task, asked: Asked) -> Size:
        """The size of a request before it is computed."""
        most_out = 0
        if task is not Task.EMBEDDINGS:
            most_out = min((UNBOUNDED if asked.most_out is None else asked.most_out) * asked.choices, UNBOUNDED)
        if asked.counted:
            return Size(asked.size, most_out, asked.prompts)
        ratio = self._ratios.get((endpoint_id, entity))
        characters = ratio.characters if ratio is not None else FIRST_GUESS
        return Size(1 + int(asked.size / characters), most_out, asked.prompts)

    def learn(self, endpoint_id: str, entity: str, asked: Asked, usage: Usage) -> None:
        """Compares with what the engine counted."""
        if asked.counted or usage.estimated or not usage.prompt_tokens or not asked.size:
            return
        seen = max(asked.size / usage.prompt_tokens, _FEWEST)
        ratio = self._ratios.setdefault((endpoint_id, entity), Ratio())
        ratio.prompts += 1
        ratio.characters = seen if ratio.prompts == 1 else _OLD_PART * ratio.characters + (1 - _OLD_PART) * seen
