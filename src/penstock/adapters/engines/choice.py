"""Several kinds of engines as one: each model is served by the first that takes it."""

from collections.abc import Sequence
from pathlib import Path

from penstock.domain.model import ModelFacts, Precision
from penstock.ports.engine import EngineRecipe, EngineSpec, Launch, Needs


class ChosenRecipe:
    """See `penstock.ports.engine.EngineRecipe`. `recipes`, at least one, are in the order of preference."""

    def __init__(self, recipes: Sequence[EngineRecipe]) -> None:
        self._recipes = recipes

    def engine(self, facts: ModelFacts, precision: Precision) -> str:
        """The chosen one's."""
        return self._of(facts, precision).engine(facts, precision)

    def refusal(self, facts: ModelFacts, precision: Precision) -> str:
        """What each of them says, if none takes it."""
        said = [one.refusal(facts, precision) for one in self._recipes]
        return "; ".join(dict.fromkeys(said)) if all(said) else ""

    def runs_on(self, facts: ModelFacts, precision: Precision) -> str:
        """Where the chosen one runs it."""
        return self._of(facts, precision).runs_on(facts, precision)

    def precision(self, facts: ModelFacts) -> Precision:
        """That of the first which takes the model in the precision that it would itself choose."""
        wishes = [(one, one.precision(facts)) for one in self._recipes]
        return next((wish for one, wish in wishes if not one.refusal(facts, wish)), wishes[0][1])

    def needs(self, facts: ModelFacts, precision: Precision, room: int = 0) -> Needs:
        """What a replica of the chosen one takes."""
        return self._of(facts, precision).needs(facts, precision, room)

    def adapts(self, facts: ModelFacts) -> bool:
        """Whether the one does that serves such a model where no precision is asked for."""
        return self._of(facts, self.precision(facts)).adapts(facts)

    def room(self, facts: ModelFacts, precision: Precision, ranks: Sequence[int]) -> int:
        """The chosen one's."""
        return self._of(facts, precision).room(facts, precision, ranks)

    def build(self, spec: EngineSpec, log: Path) -> Launch:
        """The chosen one's."""
        return self._for(spec).build(spec, log)

    def is_built(self, spec: EngineSpec) -> bool:
        """Whether the chosen one's mark is there."""
        return self._for(spec).is_built(spec)

    def mark_built(self, spec: EngineSpec) -> None:
        """Writes the chosen one's mark."""
        self._for(spec).mark_built(spec)

    def address(self, spec: EngineSpec, place: str) -> str:
        """As the chosen one is spoken to."""
        return self._for(spec).address(spec, place)

    def serve(self, spec: EngineSpec, address: str, log: Path) -> Launch:
        """The chosen one's."""
        return self._for(spec).serve(spec, address, log)

    def _for(self, spec: EngineSpec) -> EngineRecipe:
        return self._of(spec.facts, spec.precision)

    def _of(self, facts: ModelFacts, precision: Precision) -> EngineRecipe:
        """The first that takes it; where none does, the first: it is only asked what it would take."""
        return next((one for one in self._recipes if not one.refusal(facts, precision)), self._recipes[0])
