"""What tenants do to each other: shapes and loads, as parts of what each bought."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from guarantee.engine import VOCABULARY
from penstock.load.workload import Ask


@dataclass(frozen=True, slots=True)
class Side:
    """One tenant: it offers `load` times its allotment in requests like `ask`, with gaps of coefficient `cv`.

    It is silent for `quiet_s` seconds after the start of what counts. `varied`: answers end by themselves, at any
    length, `ask.tokens_out` in the mean, and requests say `ask.max_tokens` without hanging up.
    """

    load: float
    ask: Ask
    cv: float = 1.0
    quiet_s: float = 0.0
    varied: bool = False

    @property
    def steady(self) -> bool:
        """Whether there is demand all the time, if the load is more than 1."""
        return self.cv <= 1 and not self.quiet_s

    @property
    def longest(self) -> int:
        """Tokens of its longest answers, nearly: one in 150 of those that end by themselves is longer."""
        return 5 * self.ask.tokens_out if self.varied else self.ask.tokens_out

    def asks(self, seed: int, count: int = 500) -> Sequence[Ask]:
        """Its requests, to be sent again and again."""
        return _ending(self.ask, seed, count) if self.varied else (self.ask,)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`own` is who behaves well, `other` the neighbour. `prefix` is that of its figures."""

    prefix: str
    own: Side
    other: Side
    title: str = ""

    def at(self, load: float) -> "Scenario":
        """The same with another load of the well-behaved one."""
        return replace(self, own=replace(self.own, load=load))


OWN, LONG = Ask(1024, 128), Ask(3500, 64)
SHORT_IN, LONG_IN = Ask(128, 512), Ask(4000, 100)
WRONG = Ask(1024, 200, 4096)
FULL, PART = 1.3, 0.8
"""What the well-behaved one offers: more than it bought, so that the promise binds, or less."""

NEIGHBOUR = Scenario("neighbour_", Side(FULL, OWN), Side(10, LONG), "1,024 in / 128 out beside 10 times 3,500 / 64")
OTHERS = (
    Scenario("mixed_short_", Side(FULL, SHORT_IN), Side(3, LONG_IN), "128 in / 512 out beside 3 times 4,000 / 100"),
    Scenario("mixed_long_", Side(FULL, LONG_IN), Side(3, SHORT_IN), "4,000 in / 100 out beside 3 times 128 / 512"),
    Scenario(
        "wrong_estimate_",
        Side(FULL, WRONG, varied=True),
        Side(3, WRONG, varied=True),
        "both ask for 4,096 tokens and get about 200",
    ),
    Scenario("bursty_", Side(FULL, OWN, cv=4), Side(3, Ask(2048, 128), cv=4), "both come in bursts (Gamma gaps, CV 4)"),
    Scenario("idle_back_", Side(FULL, OWN, quiet_s=15), Side(10, LONG), "silent for 15 s, then back"),
)
TWO_MODELS = Scenario(
    "two_models_", Side(FULL, OWN), Side(10, LONG), "two models on one device, the neighbour's the smaller one"
)
MANY = Scenario("many_", Side(FULL, OWN), Side(10, LONG), "as many one-chunk endpoints as there are, half behave well")

END_ID, END_BIAS = 1, 4.15
"""What makes the end of a text come with a probability of about 1 in 200 for each token of these models (tried: 128
answers had 296 tokens in the mean with 3.8, 223 with 4.1, 178 with 4.2); how long answers really are is counted."""


def _ending(ask: Ask, seed: int, count: int) -> tuple[Ask, ...]:
    """Requests whose answers end by themselves; prompts differ, so that no prefix is known."""
    draw = random.Random(seed)
    body = {"temperature": 1, "ignore_eos": False, "logit_bias": {str(END_ID): END_BIAS}}
    return tuple(
        Ask(
            ask.tokens_in,
            ask.tokens_out,
            body={
                "prompt": draw.choices(range(2, VOCABULARY), k=ask.tokens_in),
                "max_tokens": ask.max_tokens,
                "seed": draw.randrange(2**31),
                **body,
            },
        )
        for _ in range(count)
    )
