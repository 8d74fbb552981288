"""Answers about throughput: what a model can do, what an endpoint does, and why that changed."""

from msgspec import UNSET

from penstock.web.reference.shapes.shape import Maybe, Shape


class Cost(Shape):
    """Seconds of the device: for each step, token in, sequence, token out, and what attention adds."""

    c: float
    a: float
    e: float
    b: float
    d: float


class Terms(Shape):
    """What the gate reckons with."""

    knee: float
    fixed_s: float
    max_running: float
    kv_tokens: float
    input_tokens: float
    output_tokens: float


class CurvePoint(Shape):
    """What was measured with so many requests at once."""

    parallel: int
    tokens_per_s: float
    latency_s: float
    ttft_s: float
    scaled: bool
    short: bool


class ModelProfile(Shape):
    """A measured profile."""

    measured_at: int
    engine: str
    precision: str
    device: str
    throughput: float
    throughput_chunk_size: int
    slices: int
    knee: int
    scaled: bool
    stale: str | None
    input_tokens: int
    output_tokens: int
    startup_s: float
    memory: int
    cost: Cost
    cost_error: float
    held_out_mean: float | None
    held_out_worst: float | None
    curve: list[CurvePoint]


class Profiling(Shape):
    """How a measurement goes, and the profile there is."""

    progress: float | None
    doing: str
    failure: str
    profile: ModelProfile | None


class OptimizationInfo(Shape):
    """Whether a version can be provisioned, and in which chunks."""

    optimizable: bool
    message: Maybe[str] = UNSET
    model_type: Maybe[str | None] = UNSET
    throughput_chunk_size: Maybe[int] = UNSET
    model_unit_chunk_size: Maybe[int] = UNSET
    estimated: Maybe[bool] = UNSET
    stale: Maybe[str | None] = UNSET
    throughput: Maybe[float] = UNSET
    slices: Maybe[int] = UNSET
    base_model: Maybe[str] = UNSET
    profile: Maybe[ModelProfile] = UNSET
    terms: Maybe[Terms] = UNSET


class ScalingDecision(Shape):
    """A change of an allotment, and what it was made of."""

    served_entity_name: str
    timestamp: int
    old: float
    new: float
    kind: str
    reason: str
    chunk: float
    wanted_chunks: int
    demand_mean: float
    demand_burst: float
    backlog: float
    free: float
    min_provisioned_throughput: float
    max_provisioned_throughput: float
    startup_s: float
    devices: list[str]


class ScalingDecisions(Shape):
    """Changes of allotments, newest first."""

    decisions: list[ScalingDecision]


class Queue(Shape):
    """What waits."""

    requests: int
    tokens: float


class Estimator(Shape):
    """What is expected of requests."""

    characters_per_token: float
    prompts: int
    mean_output_tokens: float
    answers: int


class ProfileDrift(Shape):
    """By how much requests take more of the device than was measured."""

    error: float | None
    slices: int


class EntityThroughput(Shape):
    """A served entity's throughput, now."""

    name: str
    min_provisioned_throughput: float
    max_provisioned_throughput: float
    allotment: float
    provisioned_concurrency: float
    device_share: float
    device_used: float
    chunk: float
    throughput: float
    demand: float
    attained: float
    queue: Queue
    in_flight: int
    predicted_wait_s: float
    mean_output_tokens: float
    estimator: Estimator
    cost: Maybe[Cost] = UNSET
    terms: Maybe[Terms] = UNSET
    estimated: Maybe[bool] = UNSET
    stale: Maybe[str | None] = UNSET
    drift: Maybe[ProfileDrift | None] = UNSET


class ThroughputDecision(Shape):
    """A change of an allotment."""

    time: int
    served_entity: str
    old: float
    new: float
    kind: str
    reason: str


class EndpointThroughput(Shape):
    """An endpoint's throughput, now."""

    name: str
    served_entities: list[EntityThroughput]
    decisions: list[ThroughputDecision]
