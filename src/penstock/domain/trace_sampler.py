"""Which traces are recorded, by the rules of OpenTelemetry's samplers."""

from dataclasses import dataclass
from enum import StrEnum

from penstock.domain.trace_context import TraceContext

_LOW = (1 << 64) - 1
_PARENT_BASED = "parentbased_"


class SamplerKind(StrEnum):
    """The samplers, as OTEL_TRACES_SAMPLER names them. The parent-based ones do as a caller who says."""

    ALWAYS_ON = "always_on"
    ALWAYS_OFF = "always_off"
    RATIO = "traceidratio"
    PARENT_ALWAYS_ON = "parentbased_always_on"
    PARENT_ALWAYS_OFF = "parentbased_always_off"
    PARENT_RATIO = "parentbased_traceidratio"


@dataclass(frozen=True, slots=True)
class Sampler:
    """Decides by a trace's id, so that all who take part decide alike. `ratio` is the part that is recorded."""

    kind: SamplerKind = SamplerKind.PARENT_ALWAYS_ON
    ratio: float = 1.0

    def samples(self, trace_id: str, parent: TraceContext | None) -> bool:
        """Whether to record a trace, of which `parent` is the span that the caller has in it."""
        if parent is not None and self.kind.startswith(_PARENT_BASED):
            return parent.sampled
        match self.kind.removeprefix(_PARENT_BASED):
            case SamplerKind.ALWAYS_ON:
                return True
            case SamplerKind.ALWAYS_OFF:
                return False
        return int(trace_id, 16) & _LOW < round(self.ratio * (_LOW + 1))
