"""A continuous-batching engine in virtual time: steps whose seconds follow from a profile's cost model.

A step decodes one token of every sequence whose prompt is computed, and computes prompts in what is left of its token
budget, those with the earliest deadlines first. Steps that only decode are taken together until something else happens,
so that hours cost seconds.
"""

import math
from dataclasses import dataclass, field

from penstock.domain.tenancy import Terms

STEP_TOKENS = 512
MOST_RUNNING = 32


@dataclass(frozen=True, slots=True)
class StepCost:
    """Seconds of a step: `fixed`, and for each token of a prompt, each decoded token, and each token of their context.

    `request` is what a request takes once: beside its tokens, and for its first token, which its prompt's step gives.
    """

    fixed: float
    request: float
    prefill: float
    prefill_context: float
    decode: float
    decode_context: float

    @classmethod
    def of(cls, terms: Terms) -> "StepCost":
        """The step that leads to the terms' cost model when as many sequences run as the knee has."""
        cost = terms.cost
        fixed = min(terms.fixed_s, cost.b * terms.knee)
        return cls(fixed, cost.c + cost.b, cost.a, 2 * cost.e, cost.b - fixed / terms.knee, cost.d)


@dataclass(slots=True)
class Job:
    """A request in the engine: `past` tokens are in its context, `out` were made; a report is due at `tell_at`.

    Prompts are computed in the order of `deadline`.
    """

    request_id: str
    tokens_in: int
    tokens_out: int
    tell_at: float = math.inf
    deadline: float = 0.0
    past: int = 0
    out: int = 0


@dataclass(slots=True)
class Work:
    """What a stretch of steps did, which takes `seconds`. The jobs whose first token came, that ended, to report of."""

    seconds: float = 0.0
    first: list[Job] = field(default_factory=list)
    ended: list[Job] = field(default_factory=list)
    reported: list[Job] = field(default_factory=list)


class SimulatedEngine:
    """Holds what it was given until it has ended; more than `running` jobs wait in it."""

    def __init__(self, cost: StepCost, running: int = MOST_RUNNING, budget: int = STEP_TOKENS) -> None:
        self._cost = cost
        self._running = running
        self._budget = budget
        self._jobs: list[Job] = []

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._jobs)

    def submit(self, job: Job) -> None:
        """Takes a request on."""
        self._jobs.append(job)

    def work(self, until_s: float) -> Work:
        """The next step, or as many as only decode and end within `until_s` seconds; the engine is busy."""
        active = self._jobs[: self._running]
        prompts = [job for job in active if job.past < job.tokens_in]
        decodes = [job for job in active if job.past >= job.tokens_in]
        work = Work()
        if prompts:
            # Half of a step stays for prompts, however many sequences decode.
            self._prefill(prompts, max(self._budget - len(decodes), (self._budget + 1) // 2), work)
            steps = 1
        else:
            steps = self._steps(decodes, until_s)
        if decodes:
            work.seconds += self._decoding_s(decodes, steps)
            self._decode(decodes, steps, work)
        if not decodes:
            work.seconds += self._cost.fixed
        if work.ended:
            gone = {id(job) for job in work.ended}
            self._jobs = [job for job in self._jobs if id(job) not in gone]
        return work

    def _prefill(self, prompts: list[Job], left: int, work: Work) -> None:
        cost = self._cost
        for job in sorted(prompts, key=_deadline):
            tokens = min(left, job.tokens_in - job.past)
            left -= tokens
            work.seconds += tokens * (cost.prefill + cost.prefill_context * (job.past + tokens / 2))
            job.past += tokens
            if job.past >= job.tokens_in:
                work.seconds += cost.request
                self._token(job, 1, work)
                work.first.append(job)
            if left <= 0:
                return

    def _steps(self, decodes: list[Job], until_s: float) -> int:
        """How many steps are alike: until a job ends or is to be told of, or the time is over; one at least."""
        most = max(math.ceil(min(min(job.tokens_out, job.tell_at) - job.out for job in decodes)), 1)
        one = self._decoding_s(decodes, 1)
        return max(1, min(most, int(until_s / one))) if until_s < most * one else most

    def _decoding_s(self, decodes: list[Job], steps: int) -> float:
        cost, count = self._cost, len(decodes)
        context = sum(job.past for job in decodes) * steps + count * steps * (steps - 1) / 2
        return steps * (cost.fixed + cost.decode * count) + cost.decode_context * context

    def _decode(self, decodes: list[Job], steps: int, work: Work) -> None:
        for job in decodes:
            job.past += steps
            self._token(job, steps, work)

    @staticmethod
    def _token(job: Job, count: int, work: Work) -> None:
        job.out += count
        if job.out >= job.tokens_out:
            work.ended.append(job)
        elif job.out >= job.tell_at:
            work.reported.append(job)


def _deadline(job: Job) -> float:
    return job.deadline
