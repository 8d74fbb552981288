"""Where `penstock plan` has its facts from: a trace, the ledger or a described mix; and a profile."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from penstock.adapters.store.trace import past_requests
from penstock.domain.errors import InvalidParameter, Temporary
from penstock.domain.profile import CostModel, Fingerprint, Point, Profile
from penstock.domain.simulation import Arrival
from penstock.load.arrivals import Gaps
from penstock.load.workload import read_trace

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


def from_mix(rate: float, cv: float, shape: tuple[int, int], seconds: float, seed: int) -> list[Arrival]:
    """Requests of one shape at `rate` a second, whose gaps vary by `cv`, for so many seconds."""
    if not seconds > 0:
        raise InvalidParameter(f"--duration must be positive seconds, but is {seconds:g}")
    found: list[Arrival] = []
    for at in Gaps(rate, cv, seed).times():
        if at >= seconds:
            break
        found.append(Arrival(at, *shape))
    if not found:
        raise InvalidParameter("--rate and --duration give no request at all")
    return found


def profile_from_file(path: Path) -> Profile:
    """A file with the answer of get-model-optimization-info."""
    try:
        return read_profile(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InvalidParameter(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidParameter(f"{path} is not JSON: {error}") from error


def profile_from_server(url: str, token: str, model: str) -> Profile:
    """Of MODEL/VERSION, from a running server."""
    request = urllib.request.Request(  # noqa: S310 - the person's own server
        f"{url.rstrip('/')}/api/2.0/serving-endpoints/get-model-optimization-info/{model}",
        headers={"Authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
            return read_profile(json.load(answer))
    except urllib.error.HTTPError as error:
        raise InvalidParameter(
            f"{url} says of {model}: {error.code} {error.read().decode(errors='replace')}"
        ) from error
    except (OSError, ValueError) as error:
        raise Temporary(f"{url} cannot be asked for the profile: {error}", 1) from error


def read_profile(found: Mapping[str, Any]) -> Profile:
    """Of such an answer; raises InvalidParameter if it holds no measured profile."""
    try:
        one = found["profile"]
        c, a, e, b, d = (float(one["cost"][name]) for name in "caebd")
        return Profile(
            fingerprint=Fingerprint("", str(one.get("engine", "")), str(one.get("precision", "")), str(one["device"])),
            estimated=False,
            throughput=float(found["throughput"]),
            knee=int(one["knee"]),
            curve=tuple(
                Point(int(at["parallel"]), float(at["tokens_per_s"]), float(at["latency_s"]), float(at["ttft_s"]))
                for at in one["curve"]
            ),
            cost=CostModel(c, a, e, b, d, float(one.get("cost_error", 0.0))),
            input_tokens=int(one["input_tokens"]),
            output_tokens=int(one["output_tokens"]),
            startup_s=float(one["startup_s"]),
            memory=int(one.get("memory", 0)),
            measured_at=int(one.get("measured_at", 0)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidParameter(
            "the profile must be the answer of get-model-optimization-info for a version that was measured: "
            f"{type(error).__name__} {error}"
        ) from error


def _epoch_ms(name: str, text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidParameter(f"{name} must be an ISO time such as 2026-07-01T08:00, but is '{text}'") from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
