"""Where `penstock plan` has its facts from: a trace, the ledger or a described mix; and a profile."""

import asyncio
import json
import math
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from penstock.adapters.store.trace import past_requests
from penstock.domain.errors import InvalidParameter, Temporary
from penstock.domain.profile import REFERENCE_INPUT, REFERENCE_OUTPUT
from penstock.domain.scaling import Policy
from penstock.domain.simulated_market import Arrival, Market
from penstock.domain.throughput import Chunks
from penstock.domain.told_terms import told_terms
from penstock.load.arrivals import Gaps
from penstock.load.workload import Ask, Workload, read_trace, uniform

_TIMEOUT_S = 30


def from_file(path: Path) -> list[Arrival]:
    """JSONL rows {"t", "input_tokens", "output_tokens"}."""
    times, workload = read_trace(path)
    return [
        Arrival(at, ask.tokens_in, ask.tokens_out, ask.max_tokens or 0)
        for at, ask in zip(times, workload.asks, strict=True)
    ]


def from_ledger(database: str, data_dir: Path, endpoint: str, since: str, until: str) -> Sequence[Arrival]:
    """The requests of a past period; `since` and `until` are ISO times, empty for the beginning and now."""
    file = data_dir.absolute() / "penstock.db"
    if not database and not file.exists():
        raise InvalidParameter(f"--data-dir has no database: {file} does not exist.")
    begin = _epoch_ms("--from", since) if since else 0
    end = _epoch_ms("--to", until) if until else int(datetime.now(UTC).timestamp() * 1000)
    return asyncio.run(past_requests(database or f"sqlite:///{file}", endpoint, begin, end))


def mix_of(shapes: Sequence[str], tokens_in: int | None, tokens_out: int | None, seed: int) -> Workload:
    """What requests of a described mix are: of the `shapes`, IN:OUT or IN:OUT:PART each, or all of one size."""
    if not shapes:
        return uniform(
            REFERENCE_INPUT if tokens_in is None else tokens_in, REFERENCE_OUTPUT if tokens_out is None else tokens_out
        )
    if tokens_in is not None or tokens_out is not None:
        raise InvalidParameter("--shape says how long requests are: --input-tokens and --output-tokens exclude it")
    read = [_shape(text) for text in shapes]
    return Workload(tuple(ask for ask, _ in read), tuple(part for _, part in read), seed)


def _shape(text: str) -> tuple[Ask, float]:
    """Of IN:OUT:PART; a part is 1 where it is left out."""
    tokens_in, _, rest = text.partition(":")
    tokens_out, _, part = rest.partition(":")
    try:
        sizes, weight = (int(tokens_in), int(tokens_out)), float(part or 1)
    except ValueError:
        sizes, weight = (0, 0), 0.0
    if not (weight > 0 and math.isfinite(weight)):
        raise InvalidParameter(f"--shape must be IN:OUT or IN:OUT:PART such as 2048:256:3, but is '{text}'")
    return Ask(*sizes), weight


def from_mix(rate: float, cv: float, mix: Workload, seconds: float, seed: int) -> list[Arrival]:
    """Requests of the mix at `rate` a second, whose gaps vary by `cv`, for so many seconds."""
    if not seconds > 0:
        raise InvalidParameter(f"--duration must be positive seconds, but is {seconds:g}")
    found: list[Arrival] = []
    for at, ask in zip(Gaps(rate, cv, seed).times(), mix.stream(), strict=False):
        if at >= seconds:
            break
        found.append(Arrival(at, ask.tokens_in, ask.tokens_out))
    if not found:
        raise InvalidParameter("--rate and --duration give no request at all")
    return found


def check(arrivals: Sequence[Arrival], market: Market) -> None:
    """Raises InvalidParameter if the version could not have been asked that."""
    terms = market.terms
    if not terms.tokens_out and any(one.tokens_out for one in arrivals):
        raise InvalidParameter("the version gives embeddings, no tokens: output tokens must be 0 (--output-tokens 0)")
    longest = max(one.tokens_in + one.tokens_out for one in arrivals)
    if terms.kv_tokens and longest > terms.kv_tokens:
        raise InvalidParameter(
            f"a request of {longest:,} tokens is longer than the {terms.kv_tokens:,} that a replica can hold"
        )


def market_from_file(path: Path, policy: Policy, *, busy: bool) -> Market:
    """A file with the answer of get-model-optimization-info."""
    try:
        return read_market(json.loads(path.read_text(encoding="utf-8")), policy, busy=busy)
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidParameter(f"{path} is not JSON: {error}") from error


def market_from_server(url: str, token: str, model: str, policy: Policy, *, busy: bool) -> Market:
    """Of MODEL/VERSION, from a running server."""
    name, _, version = model.rpartition("/")
    if not name or not version.isdigit():
        raise InvalidParameter(f"--model must be NAME/VERSION such as main.default.guide/1, but is '{model}'")
    if not url.startswith(("http://", "https://")):
        raise InvalidParameter(f"--url must begin with http:// or https://, but is '{url}'")
    request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
        f"{url.rstrip('/')}/api/2.0/serving-endpoints/get-model-optimization-info/{quote(name)}/{version}",
        headers={"Authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        raise InvalidParameter(f"The server says of {model}: {_message(error)} ({error.code})") from error
    except (OSError, ValueError) as error:
        raise Temporary(f"{url} cannot be asked for the profile: {error}", 1) from error
    return read_market(found, policy, busy=busy)


def read_market(found: Mapping[str, Any], policy: Policy, *, busy: bool) -> Market:
    """Of such an answer; raises InvalidParameter if it holds no measured profile."""
    if isinstance(found, dict) and found.get("estimated"):
        raise InvalidParameter("the version was not measured yet, only estimated: deploy it once, or penstock profile")
    try:
        profile = found["profile"]
        terms = told_terms(found["throughput"], profile["cost"], found["terms"])
        chunks = Chunks(int(found["throughput_chunk_size"]), int(found["slices"]), terms.throughput)
        return Market(terms, chunks, float(profile["startup_s"]), policy, busy=busy)
    except (KeyError, TypeError, ValueError, InvalidParameter) as error:
        why = error.message if isinstance(error, InvalidParameter) else f"{type(error).__name__} {error}"
        raise InvalidParameter(
            f"the profile must be the answer of get-model-optimization-info for a version that was measured: {why}"
        ) from error


def _message(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200]


def _epoch_ms(name: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidParameter(f"{name} must be an ISO time such as 2026-07-01T08:00, but is '{text}'") from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
