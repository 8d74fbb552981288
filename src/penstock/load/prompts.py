"""Prompts of a wanted length, no two of which begin alike: what a prefix cache knows must not help."""

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.domain.errors import InvalidParameter

_LIST = (
    "about above after again along among animal answer apple around autumn back bank basket beach before begin "
    "behind bell below better between bird black blue board boat body book bottle bottom bread bridge bright bring "
    "brother brown build butter button call candle carry castle chair change circle city clear climb clock close "
    "cloud coat cold color copper corner cotton country cover cross dance dark daughter deep desert dinner doctor "
    "door draw dream dress drink drive dry early earth east empty engine evening every family farm father field "
    "finger fire first fish floor flower follow forest forget fresh friend front fruit garden gentle glass gold "
    "grass gray green ground group hammer happy harbor heavy hill history hold home honey horse hot house hunt ice "
    "inside iron island jacket journey jump kitchen knife ladder lake lamp land large late laugh lead leaf learn "
    "leather letter light line lion little long lost market master meadow measure metal middle milk minute mirror "
    "money month moon morning mother mountain mouse music narrow nature needle never night noise north number ocean "
    "office old open orange other paint paper park pencil people pepper picture place plain plant plate pocket point "
    "pot quick quiet rain reach read red rest river road rock roof room root rope rose round salt sand school sea"
)
WORDS = tuple(_LIST.split())
"""Short common words: most tokenizers have one token for each."""


def _draw() -> random.Random:
    # Not repeatable on purpose: two runs with the same prompts would find each other's prefixes cached.
    return random.Random(secrets.randbits(64))  # noqa: S311 - only has to differ


@dataclass(frozen=True, slots=True)
class Words:
    """Random words: a prompt of n words has about `overhead + per_word * n` tokens."""

    per_word: float = 1.0
    overhead: float = 0.0
    draw: random.Random = field(default_factory=_draw, repr=False, compare=False)

    def make(self, tokens: int) -> str:
        """A text of about so many tokens."""
        return self.words(max(1, round((tokens - self.overhead) / self.per_word)))

    def words(self, count: int) -> str:
        """A text of so many words: all of them in another order, again and again, so that lengths vary little."""
        said: list[str] = []
        while len(said) < count:
            said.extend(self.draw.sample(WORDS, min(len(WORDS), count - len(said))))
        return " ".join(said)


@dataclass(frozen=True, slots=True)
class Ids:
    """Random token ids from `low` to below `high`: exact lengths, for endpoints that take completions."""

    low: int
    high: int
    draw: random.Random = field(default_factory=_draw, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high:
            raise InvalidParameter(f"token ids must be a range from 0 up, but are {self.low} to {self.high}")

    def make(self, tokens: int) -> list[int]:
        """So many ids."""
        return self.draw.choices(range(self.low, self.high), k=tokens)


Prompts = Words | Ids


def fit(samples: Sequence[tuple[int, int]]) -> Words:
    """The line through (words, tokens) of two or more prompts of different length; raises InvalidParameter."""
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0
    if slope <= 0:
        raise InvalidParameter("the endpoint's usage.prompt_tokens do not grow with the prompt: lengths cannot be set")
    return Words(slope, mean_y - slope * mean_x)
