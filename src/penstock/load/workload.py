"""What is asked for: the sizes of requests, or whole requests of one's own, in the order they are sent."""

import itertools
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.domain.errors import InvalidParameter
from penstock.domain.profile import REFERENCE_INPUT, REFERENCE_OUTPUT


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to send: about `tokens_in` tokens of prompt, and `tokens_out` tokens wanted, 0 for embeddings.

    `max_tokens` is what the request says, by default `tokens_out`. Where it says more, the client hangs up after
    `tokens_out` tokens: that is how a caller looks who asks for much and takes little. `body` is a request of one's
    own, sent as it is but for `model` and `stream`; its sizes are then whatever the answer says.
    """

    tokens_in: int
    tokens_out: int
    max_tokens: int | None = None
    body: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.tokens_in < 1 or self.tokens_out < 0:
            raise InvalidParameter(
                f"tokens in must be positive and out not negative, but are {self.tokens_in} and {self.tokens_out}"
            )
        if self.max_tokens is not None and self.max_tokens < self.tokens_out:
            raise InvalidParameter(f"max_tokens must be at least the {self.tokens_out} tokens wanted")

    @property
    def hangs_up(self) -> bool:
        """Whether the client leaves before the answer is complete."""
        return self.max_tokens is not None and self.max_tokens > self.tokens_out


REFERENCE = Ask(REFERENCE_INPUT, REFERENCE_OUTPUT)
"""A request of the reference workload."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests that are sent over and over: in their order, or drawn by `weights` with `seed`."""

    asks: tuple[Ask, ...]
    weights: tuple[float, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.asks:
            raise InvalidParameter("a workload needs at least one request")
        if self.weights is not None and (len(self.weights) != len(self.asks) or min(self.weights) < 0):
            raise InvalidParameter("weights must not be negative, one for each request of the workload")

    def stream(self) -> Iterator[Ask]:
        """The requests, without end."""
        if self.weights is None:
            return itertools.cycle(self.asks)
        draw = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        return (draw.choices(self.asks, self.weights)[0] for _ in itertools.count())

    @property
    def longest(self) -> int:
        """Tokens of prompt in the longest request."""
        return max(ask.tokens_in for ask in self.asks)


def uniform(
    tokens_in: int = REFERENCE_INPUT, tokens_out: int = REFERENCE_OUTPUT, max_tokens: int | None = None
) -> Workload:
    """All requests alike; without arguments the reference workload."""
    return Workload((Ask(tokens_in, tokens_out, max_tokens),))


def read_rows(path: Path, tokens_out: int = REFERENCE_OUTPUT) -> Workload:
    """One's own requests from a JSONL file: bodies with `messages`, `prompt` or `input`; raises InvalidParameter.

    `tokens_out` is what is expected of rows that have no `max_tokens`.
    """
    asks = []
    for number, row in read_lines(path):
        if "input" in row:
            asks.append(Ask(1, 0, body=row))
            continue
        if not ("messages" in row or "prompt" in row):
            raise InvalidParameter(f'{path}, line {number}: a row needs "messages", "prompt" or "input"')
        most = row.get("max_tokens", tokens_out)
        if not isinstance(most, int) or most < 1:
            raise InvalidParameter(f'{path}, line {number}: "max_tokens" must be a positive integer')
        asks.append(Ask(1, most, body=row))
    return Workload(tuple(asks))


def read_trace(path: Path) -> tuple[tuple[float, ...], Workload]:
    """Arrival times in seconds, and sizes, from JSONL rows {"t", "input_tokens", "output_tokens"}.

    Rows are sorted by time, and the first is at 0. Raises InvalidParameter that names the line.
    """
    found: list[tuple[float, Ask]] = []
    for number, row in read_lines(path):
        try:
            most = row.get("max_tokens")
            ask = Ask(
                _whole(row, "input_tokens"),
                _whole(row, "output_tokens"),
                _whole(row, "max_tokens") if most is not None else None,
            )
            found.append((_seconds(row), ask))
        except InvalidParameter as error:
            rule = '{"t": seconds, "input_tokens": count, "output_tokens": count}'
            raise InvalidParameter(f"{path}, line {number}: {error.message}; a row of a trace is {rule}") from error
    if not found:
        raise InvalidParameter(f"{path} has no rows")
    found.sort(key=lambda one: one[0])
    workload = Workload(tuple(ask for _, ask in found))
    return tuple(at - found[0][0] for at, _ in found), workload


def _whole(row: Mapping[str, Any], field: str) -> int:
    value = row.get(field)
    if type(value) is not int or value < 0:
        raise InvalidParameter(f'"{field}" must be a whole number of tokens, but is {json.dumps(value)[:40]}')
    return value


def _seconds(row: Mapping[str, Any]) -> float:
    value = row.get("t")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidParameter(f'"t" must be seconds, but is {json.dumps(value)[:40]}')
    return float(value)


def read_lines(path: Path) -> Sequence[tuple[int, Mapping[str, Any]]]:
    """The objects of a JSONL file with their line numbers; raises InvalidParameter that names the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidParameter(f"{path} is not text in UTF-8") from error
    rows: list[tuple[int, Mapping[str, Any]]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InvalidParameter(f"{path}, line {number}: is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise InvalidParameter(f"{path}, line {number}: must be a JSON object")
        rows.append((number, row))
    return rows
