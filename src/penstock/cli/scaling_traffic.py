"""What `penstock scaling replay` replays, and on what: made-up or recorded traffic, bands, devices, policies."""

import random
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from penstock.cli.plan_sources import check, from_file, from_ledger, market_from_file
from penstock.domain.errors import InvalidParameter
from penstock.domain.scaling import Policy
from penstock.domain.scaling_replay import Ground, Holder
from penstock.domain.scaling_traces import KINDS, generate
from penstock.domain.simulated_market import Arrival, Market

POLICIES = {
    "default": Policy(),
    "quick": Policy(mean_s=10, burst_chunks=1),
    "steady": Policy(mean_s=60, burst_chunks=3, down_s=300),
    "mean": Policy(burst_chunks=1_000_000),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """The options. Without a `profile` tokens are reference tokens, `chunk`, `slices` and `startup` say the rest."""

    trace: str
    policy: str
    chunk: float
    minimum: int
    maximum: int
    startup: float | None
    seconds: int
    seed: int
    changes: int
    png: Path | None
    as_json: bool
    slices: int = 0
    devices: int = 1
    others: tuple[str, ...] = ()
    profile: Path | None = None
    ledger: str = ""
    since: str = ""
    until: str = ""
    data_dir: Path = Path("data")
    database: str = ""


def policy_of(name: str) -> Policy:
    """The policy of that name, or from a TOML file of its fields; raises InvalidParameter."""
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


def scene(wish: Wish) -> tuple[Holder, Ground, list[Holder]]:
    """Who is replayed, on what, and beside whom; raises InvalidParameter."""
    if wish.minimum > wish.maximum:
        raise InvalidParameter(f"--min ({wish.minimum}) must not be more than --max ({wish.maximum}).")
    market = market_from_file(wish.profile, Policy(), busy=True) if wish.profile is not None else None
    chunk = market.chunks.chunk if market else wish.chunk
    slices = wish.slices or (market.chunks.slices if market else wish.maximum)
    startup = wish.startup if wish.startup is not None else (market.startup_s if market else 0.0)
    ground = Ground(chunk, slices, wish.devices, startup)
    one = Holder(_demand(wish, market, chunk), wish.minimum, wish.maximum)
    others = [_other(text, wish, chunk, number) for number, text in enumerate(wish.others, 1)]
    return one, ground, others


def _other(text: str, wish: Wish, chunk: float, number: int) -> Holder:
    """Of KIND:MIN:MAX."""
    kind, *band = text.split(":")
    if kind not in KINDS or len(band) != 2 or not all(part.isdigit() for part in band):  # noqa: PLR2004 - least, most
        raise InvalidParameter(f"--other must be KIND:MIN:MAX with a KIND of {', '.join(KINDS)}, but is '{text}'.")
    least, most = int(band[0]), int(band[1])
    if not least <= most or not most:
        raise InvalidParameter(f"--other '{text}': MAX must be at least 1, and MIN at most MAX.")
    chance = random.Random(wish.seed + number)  # noqa: S311 - traffic, not secrets
    return Holder(generate(kind, wish.seconds, chunk, chance.random), least, most)


def _demand(wish: Wish, market: Market | None, chunk: float) -> list[float]:
    if wish.ledger:
        if market is None:
            raise InvalidParameter("--ledger needs --profile, which says what the requests cost.")
        if wish.trace:
            raise InvalidParameter("Give one of TRACE and --ledger.")
        past = from_ledger(wish.database, wish.data_dir, wish.ledger, wish.since, wish.until)
        if not past:
            raise InvalidParameter(f"The ledger has no requests of '{wish.ledger}' in that time.")
        return _by_second(past, market)
    if wish.trace in KINDS:
        chance = random.Random(wish.seed)  # noqa: S311 - traffic, not secrets
        return generate(wish.trace, wish.seconds, chunk, chance.random)
    if not Path(wish.trace).is_file():
        raise InvalidParameter(f"TRACE must be one of {', '.join(KINDS)}, or a JSONL file, but is '{wish.trace}'.")
    return _by_second(from_file(Path(wish.trace)), market)


def _by_second(arrivals: Sequence[Arrival], market: Market | None) -> list[float]:
    """Reference tokens that arrive in each second: by the cost model, or else as many as there are."""
    if market is not None:
        check(arrivals, market)
    demand = [0.0] * (int(max(one.at for one in arrivals)) + 1)
    for one in arrivals:
        tokens = float(one.tokens_in + one.tokens_out)
        if market is not None:
            tokens = market.terms.throughput * market.terms.cost.seconds(one.tokens_in, one.tokens_out)
        demand[int(one.at)] += tokens
    return demand
