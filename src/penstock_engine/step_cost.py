"""Whose a step's time is: divided over its sequences by what each of them makes a step longer.

What that is, is learnt from the steps themselves: `seconds = fixed + a*p + e*px + b*d + g*dx` for p tokens of prompts
with px pairs of a token and one before it, and d decoded tokens with dx tokens of context. Only the proportions matter:
the parts always add up to the seconds that were measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from numpy.typing import NDArray

    from penstock_engine.scheduler import Slot
    from penstock_engine.work import Work

START = (5e-4, 7.5e-5, 2.6e-8, 2e-4, 6e-7)
"""Until steps tell: a small model in eight bits on two cores. Larger ones differ less in proportion than in size."""
_SCALE = np.array([1.0, 512.0, 512.0 * 1024, 8.0, 8.0 * 2048])
"""Of a usual step: the fit works with numbers of about the same size."""
_MEMORY = 1 - 1 / 2000
"""What a step counts in the fit, each time another follows it."""
FIT_EVERY = 100
_ROUNDS = 30


class StepCost:
    """Belongs to the step thread."""

    def __init__(self) -> None:
        self._gram = np.zeros((5, 5))
        self._target = np.zeros(5)
        self._steps = 0
        self.coefficients = START

    def divide(self, slots: Many[Slot], work: Many[Work], seconds: float) -> None:
        """Adds to each sequence's seconds its part of a step; one slot and one piece of work for each."""
        fixed, a, e, b, g = self.coefficients
        each = fixed / len(slots)
        parts = []
        prompt = pairs = decoded = context = 0.0
        for one in work:
            new, past = one.tokens.size, one.past
            if new > 1:
                before = new * (past + new / 2)
                prompt += new
                pairs += before
                parts.append(each + a * new + e * before)
            else:
                decoded += 1
                context += past
                parts.append(each + b + g * past)
        factor = seconds / sum(parts)
        for slot, part in zip(slots, parts, strict=True):
            slot.sequence.seconds += factor * part
        self._learn(np.array([1.0, prompt, pairs, decoded, context]), seconds)

    def _learn(self, features: NDArray[np.float64], seconds: float) -> None:
        """Relative least squares: a step that takes twice as long counts no more."""
        row = features / _SCALE / seconds
        self._gram *= _MEMORY
        self._gram += np.outer(row, row)
        self._target *= _MEMORY
        self._target += row
        self._steps += 1
        if self._steps % FIT_EVERY == 0:
            self._fit()

    def _fit(self) -> None:
        """Coordinate descent from what was known: what the steps so far do not tell apart stays in proportion."""
        gram, target = self._gram, self._target
        found = np.array(self.coefficients) * _SCALE
        found *= (found @ target) / (found @ gram @ found)
        for _ in range(_ROUNDS):
            for k in range(5):
                if gram[k, k] > 0:
                    found[k] = max(0.0, found[k] + (target[k] - gram[k] @ found) / gram[k, k])
        fixed, a, e, b, g = (found / _SCALE).tolist()
        if a > 0 and b + fixed > 0:
            self.coefficients = (fixed, a, e, b, g)
