"""A measured profile in an answer."""

from typing import Any

from pydantic import BaseModel

from penstock.control.profiles import Profiling, Wish
from penstock.domain.profile import Profile
from penstock.domain.tenancy import Terms
from penstock.domain.throughput import divide
from penstock.web.databricks.endpoint_bodies import read_precision


class ProfileBody(BaseModel):
    """How long a measurement may take, in seconds, and how long it may wait until the device is idle.

    Nulls are the server's setting, 30 s, and the precision used by default.
    """

    budget_s: float | None = None
    wait_s: float | None = None
    precision: str | None = None

    def wish(self) -> Wish:
        """The same in the control plane's terms; raises InvalidParameter."""
        return Wish(self.budget_s, self.wait_s, read_precision(self.precision, "precision"))


def profiling_answer(profiling: Profiling) -> dict[str, Any]:
    """How a measurement goes and what it is doing (`progress` is null while none runs), and the profile there is."""
    return {
        "progress": profiling.progress,
        "doing": profiling.doing,
        "failure": profiling.failure,
        "profile": profile_answer(profiling.profile) if profiling.profile is not None else None,
    }


def profile_answer(profile: Profile) -> dict[str, Any]:
    """The profile with what is sold of it; `held_out_*` are null if no time was left to measure them.

    `stale` is why it is to be measured again when the device is idle, null if it holds.
    """
    chunks = divide(profile.throughput)
    return {
        "measured_at": profile.measured_at,
        "engine": profile.fingerprint.engine,
        "precision": profile.fingerprint.precision,
        "device": profile.fingerprint.device,
        "throughput": round(profile.throughput, 1),
        "throughput_chunk_size": chunks.chunk,
        "slices": chunks.slices,
        "knee": profile.knee,
        "scaled": profile.scaled,
        "stale": profile.stale or None,
        "input_tokens": profile.input_tokens,
        "output_tokens": profile.output_tokens,
        "startup_s": round(profile.startup_s, 3),
        "memory": profile.memory,
        "cost": dict(zip("caebd", profile.cost.coefficients, strict=True)),
        "cost_error": round(profile.cost.error, 4),
        "held_out_mean": _rounded(profile.held_out_mean),
        "held_out_worst": _rounded(profile.held_out_worst),
        "curve": [
            {
                "parallel": point.parallel,
                "tokens_per_s": round(point.tokens_per_s, 1),
                "latency_s": round(point.latency_s, 4),
                "ttft_s": round(point.ttft_s, 4),
                "scaled": point.scaled,
                "short": point.short,
            }
            for point in profile.curve
        ],
    }


def terms_answer(terms: Terms) -> dict[str, Any]:
    """What the gate reckons with, beside the cost: what a plan or an estimate elsewhere needs to decide alike."""
    return {
        "knee": terms.knee,
        "fixed_s": terms.fixed_s,
        "max_running": terms.running,
        "kv_tokens": terms.kv_tokens,
        "input_tokens": terms.tokens_in,
        "output_tokens": terms.tokens_out,
    }


def _rounded(error: float | None) -> float | None:
    return None if error is None else round(error, 4)
