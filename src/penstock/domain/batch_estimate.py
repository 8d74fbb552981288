"""How long a batch takes: the cost model applied to its rows, their sizes learned from those that are done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.domain.answer_lengths import AnswerLengths
from penstock.domain.profile import CostModel
from penstock.domain.prompts import count_prompts
from penstock.domain.simulated_batch import SimulatedRow, batch_seconds
from penstock.domain.tenancy import Terms

CHARACTERS_PER_TOKEN = 4.0
UNTOLD_OUTPUT = 256.0
"""Tokens that are expected of a row without `max_tokens` before one has been answered."""
UNBOUNDED = 1 << 20
"""The limit of a row without one, as the gate takes it."""
SAMPLE = 2000
"""Rows that an estimate looks at; more are stood for by these, evenly chosen."""


@dataclass(frozen=True, slots=True)
class Size:
    """What is known of a row before it is sent: characters of its `prompts`, and the most tokens it may produce.

    `most_out` is for all answers, None where the body sets no limit.
    """

    characters: int
    most_out: int | None
    prompts: int = 1


@dataclass(frozen=True, slots=True)
class Used:
    """What a row that is done used."""

    size: Size
    tokens_in: int
    tokens_out: int


def size_of(body: Any) -> Size:
    """The size of a request's body. Prompts of tokens count as four characters each."""
    limits = (body.get("max_completion_tokens"), body.get("max_tokens"))
    limit = next((value for value in limits if type(value) is int and value >= 0), None)
    if "input" in body:
        return Size(_characters(body["input"]), 0, count_prompts(body["input"]))
    prompts, n = count_prompts(body.get("prompt")), body.get("n")
    most = limit if limit is None else limit * prompts * (n if type(n) is int and n > 0 else 1)
    return Size(sum(_characters(body.get(field)) for field in ("messages", "prompt", "tools")), most, prompts)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(_characters(item) for item in value)
    if isinstance(value, dict):
        return sum(_characters(item) for item in value.values())
    return int(CHARACTERS_PER_TOKEN) if isinstance(value, int) and not isinstance(value, bool) else 0


class Learned:
    """Tokens by characters, and tokens produced, from the rows that are done."""

    def __init__(self) -> None:
        self._n = 0
        self._x = self._y = self._xx = self._xy = 0.0
        self._out = AnswerLengths()

    def learn(self, used: Used) -> None:
        """One more row is done."""
        x, y = float(used.size.characters), float(used.tokens_in)
        self._n += 1
        self._x += x
        self._y += y
        self._xx += x * x
        self._xy += x * y
        limit = used.size.most_out
        self._out.learn(used.tokens_out, cut=limit is not None and used.tokens_out >= limit)

    @property
    def rows(self) -> int:
        """Rows learned from."""
        return self._n

    def tokens_in(self, size: Size) -> float:
        """Prompt tokens of a row: a fixed part (a chat's frame) and one by characters, as far as they can be told."""
        if not self._n:
            return size.characters / CHARACTERS_PER_TOKEN
        spread = self._n * self._xx - self._x * self._x
        slope = (self._n * self._xy - self._x * self._y) / spread if spread > 0.01 * self._n * self._xx else -1.0
        fixed = (self._y - slope * self._x) / self._n
        if slope < 0 or fixed < 0:
            slope, fixed = (self._y / self._x if self._x else 0.0), (0.0 if self._x else self._y / self._n)
        return fixed + slope * size.characters

    def tokens_out(self, size: Size) -> float:
        """Tokens that a row will produce: its limit until something is known."""
        return self._out.mean(size.most_out, UNTOLD_OUTPUT)


class Workload:
    """The rows that are to be done; `total` says what they cost by what is known now."""

    def __init__(self, sizes: Sequence[Size]) -> None:
        step = max(1, -(-len(sizes) // SAMPLE))
        self._sample = sizes[::step]
        self._factor = len(sizes) / len(self._sample) if self._sample else 0.0
        self.rows = len(sizes)

    def tokens(self, learned: Learned) -> tuple[float, float]:
        """Tokens in and out of all rows."""
        return (
            self._factor * sum(learned.tokens_in(size) for size in self._sample),
            self._factor * sum(learned.tokens_out(size) for size in self._sample),
        )

    def device_s(self, learned: Learned, cost: CostModel) -> float:
        """Device seconds of all rows."""
        seconds = (_seconds(size, learned, cost) for size in self._sample)
        return self._factor * sum(seconds)

    def duration_s(self, learned: Learned, terms: Terms, window: int) -> float:
        """Seconds on a device with nothing else to do, `window` rows sent at a time.

        An engine computes the prompts of a row beside each other, as if each had come by itself.
        """
        prompts = [size for size in self._sample for _ in range(size.prompts)]
        rows = [_alone(size, learned) for size in prompts[:: max(1, -(-len(prompts) // SAMPLE))]]
        at_a_time = round(window * len(prompts) / max(len(self._sample), 1))
        return batch_seconds(rows, terms, at_a_time, total=round(self._factor * len(prompts)))


def _seconds(size: Size, learned: Learned, cost: CostModel) -> float:
    return cost.seconds_of(size.prompts, learned.tokens_in(size), learned.tokens_out(size))


def _alone(size: Size, learned: Learned) -> SimulatedRow:
    """One of a row's prompts."""
    most = UNBOUNDED if size.most_out is None else size.most_out
    return SimulatedRow(
        tokens_in=max(round(learned.tokens_in(size) / size.prompts), 1),
        tokens_out=round(learned.tokens_out(size) / size.prompts),
        most_out=-(-most // size.prompts),
    )
