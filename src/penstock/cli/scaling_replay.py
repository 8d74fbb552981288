"""`penstock scaling replay`."""

import json
import random
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from penstock.domain.errors import InvalidParameter, PenstockError
from penstock.domain.scaling import Policy
from penstock.domain.scaling_replay import Replay, Sold, replay
from penstock.domain.scaling_traces import KINDS, generate

POLICIES = {
    "default": Policy(),
    "quick": Policy(mean_s=10, burst_chunks=1),
    "steady": Policy(mean_s=60, burst_chunks=3, down_s=300),
    "mean": Policy(burst_chunks=1_000_000),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """The options."""

    trace: str
    policy: str
    chunk: float
    minimum: int
    maximum: int
    startup: float
    seconds: int
    seed: int
    changes: int
    png: Path | None
    as_json: bool


def run(wish: Wish) -> int:
    """Replays and prints; returns the exit status, 1 if the trace or the policy cannot be read."""
    try:
        policy = _policy(wish.policy)
        demand = _demand(wish)
        if wish.minimum > wish.maximum:
            raise InvalidParameter(f"--min ({wish.minimum}) must not be more than --max ({wish.maximum}).")
    except PenstockError as error:
        print(error.message, file=sys.stderr)
        return 1
    found = replay(demand, policy, Sold(wish.chunk, wish.minimum, wish.maximum, wish.startup))
    print(json.dumps(_figures(found, demand, wish), indent=1) if wish.as_json else _text(found, demand, wish))
    if wish.png is not None:
        _draw(found, demand, wish, wish.png)
    return 0


def _policy(name: str) -> Policy:
    if name in POLICIES:
        return POLICIES[name]
    try:
        values = tomllib.loads(Path(name).read_text())
        known = {field.name for field in fields(Policy)}
        unknown = values.keys() - known
        if unknown or not all(isinstance(value, int | float) and value > 0 for value in values.values()):
            raise InvalidParameter(
                f"The policy {name} must hold positive numbers for any of {', '.join(sorted(known))}."
            )
        return Policy(**values)
    except OSError as error:
        raise InvalidParameter(f"--policy must be one of {', '.join(POLICIES)}, or a TOML file: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidParameter(f"The policy {name} is not TOML: {error}.") from error


def _demand(wish: Wish) -> list[float]:
    if wish.trace in KINDS:
        chance = random.Random(wish.seed)  # noqa: S311 - traffic, not secrets
        return generate(wish.trace, wish.seconds, wish.chunk, chance.random)
    try:
        lines = [line for line in Path(wish.trace).read_text().splitlines() if line.strip()]
    except OSError as error:
        raise InvalidParameter(f"TRACE must be one of {', '.join(KINDS)}, or a JSONL file: {error}.") from error
    rows = [_row(line, number) for number, line in enumerate(lines, 1)]
    if not rows:
        raise InvalidParameter(f"The trace {wish.trace} holds no rows.")
    demand = [0.0] * (int(max(at for at, _ in rows)) + 1)
    for at, tokens in rows:
        demand[int(at)] += tokens
    return demand


def _row(line: str, number: int) -> tuple[float, float]:
    try:
        row = json.loads(line)
        at, tokens = float(row["t"]), float(row["input_tokens"]) + float(row["output_tokens"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidParameter(f"Line {number} of the trace must hold t, input_tokens and output_tokens.") from error
    if not (0 <= at < float("inf") and 0 <= tokens < float("inf")):
        raise InvalidParameter(f"Line {number} of the trace: t and tokens must be 0 or more.")
    return at, tokens


def _figures(found: Replay, demand: Sequence[float], wish: Wish) -> dict[str, object]:
    return {
        "seconds": len(demand),
        "mean_tokens_per_s": round(sum(demand) / len(demand), 1),
        "chunk_hours": round(sum(found.held) / 3600, 2),
        "oracle_chunk_hours": round(sum(found.oracle) / 3600, 2),
        "over_chunk_minutes": round(found.over, 1),
        "under_chunk_minutes": round(found.under, 1),
        "late_share": round(found.late, 5),
        "cost_ratio": round(found.cost_ratio, 3),
        "changes": len(found.steps),
        "steps": [asdict(step) for step in found.steps] if wish.as_json else [],
    }


def _text(found: Replay, demand: Sequence[float], wish: Wish) -> str:
    lines = [f"{'at':>9}  {'chunks':>8}  reason"]
    for step in found.steps[: wish.changes]:
        hours, rest = divmod(step.at, 3600)
        lines.append(f"{hours:3d}:{rest // 60:02d}:{rest % 60:02d}  {step.old:3d} > {step.new:2d}  {step.reason}")
    if len(found.steps) > wish.changes:
        lines.append(f"... and {len(found.steps) - wish.changes} more")
    figures = _figures(found, demand, wish)
    return "\n".join([*lines, "", *(f"{name:22} {value}" for name, value in figures.items() if name != "steps")])


def _draw(found: Replay, demand: Sequence[float], wish: Wish, path: Path) -> None:
    from matplotlib.figure import Figure

    bins = max(len(demand) // 720, 1)
    hours = [start / 3600 for start in range(0, len(demand), bins)]
    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.subplots()
    means = [sum(demand[at : at + bins]) / len(demand[at : at + bins]) for at in range(0, len(demand), bins)]
    axes.plot(hours, means, color="0.6", label="demand")
    for chunks, label in ((found.held, "held"), (found.oracle, "oracle")):
        most = [max(chunks[at : at + bins]) * wish.chunk for at in range(0, len(demand), bins)]
        axes.step(hours, most, where="post", label=label)
    axes.set(xlabel="hours", ylabel="tokens/s")
    axes.legend()
    figure.savefig(path)
