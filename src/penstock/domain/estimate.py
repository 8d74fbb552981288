"""What a version will probably do before it is measured: from its sizes and the device's compute and bandwidth."""

from dataclasses import dataclass

from penstock.domain.model import ModelFacts, Precision
from penstock.domain.profile import CostModel, reference_shape

CAUTION = 0.6
"""An estimate promises this part of what the figures say, so that a measurement seldom says less."""
BATCH = 8
STEP_S = 0.004
"""What an engine's step takes beside arithmetic and memory."""
_BYTES = {Precision.INT8: 1.0, Precision.BF16: 2.0, Precision.FP32: 4.0}


@dataclass(frozen=True, slots=True)
class Speed:
    """What a device does: multiply-adds counted as two operations per second, and bytes read per second."""

    operations_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens per second of the reference workload, and the cost of a request in device seconds."""

    throughput: float
    cost: CostModel


def estimate(facts: ModelFacts, precision: Precision, speed: Speed) -> Estimate:
    """The estimate for a version whose `shape` is known; without it, parameters alone are counted."""
    shape = facts.shape
    looked_up = shape.vocabulary * shape.hidden if shape else 0
    idle = shape.idle_parameters if shape else 0
    computed = max(facts.parameters - looked_up - idle, facts.parameters // 4, 1)
    per_token = 2.0 * computed / speed.operations_per_s
    weights = facts.parameters * _BYTES[precision] / speed.bytes_per_s
    attention = 2.0 * shape.layers * shape.hidden / speed.operations_per_s if shape else 0.0
    cached = shape.kv_bytes_per_token / speed.bytes_per_s if shape else 0.0
    step = max(weights, BATCH * per_token) + STEP_S
    cost = CostModel(
        c=STEP_S / CAUTION,
        a=per_token / CAUTION,
        e=attention / CAUTION,
        b=step / BATCH / CAUTION,
        d=(cached + 2.0 * attention) / CAUTION,
    )
    tokens_in, tokens_out = reference_shape(facts.context_length, encoder=facts.is_encoder)
    return Estimate((tokens_in + tokens_out) / cost.seconds(tokens_in, tokens_out), cost)
