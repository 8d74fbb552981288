"""Runs an encoder's graph: texts of a batch padded to one length, the padding masked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import openvino as ov

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from penstock_engine.architectures.plan import Plan
    from penstock_engine.kernels import Compiled

TINY = 1e-12
"""The least length of a vector that is divided by."""


class TextEncoder:
    """A compiled encoder. Implements `work.Encoder`."""

    def __init__(self, compiled: Compiled, plan: Plan, keep: object) -> None:
        """Keep: memory that the graph's constants are in."""
        self.dimensions = plan.width
        self.context_length = plan.context
        self._vocab = plan.vocab
        self._normalised = plan.normalised
        self._compiled = compiled
        self._keep = keep
        self._request = compiled.create_infer_request()

    def embed(self, batch: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """See `work.Encoder.embed`. Raises ValueError on an empty or too long text, or an unknown token id."""
        if not batch:
            return np.zeros((0, self.dimensions), np.float32)
        lengths = np.fromiter((each.size for each in batch), np.int64, len(batch))
        if lengths.min() < 1 or lengths.max() > self.context_length:
            raise ValueError(f"a text must have between 1 and {self.context_length} tokens")
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        ids = np.zeros(mask.shape, np.int64)
        ids[mask == 1] = np.concatenate(list(batch))
        if ids.min() < 0 or ids.max() >= self._vocab:
            raise ValueError(f"a token id is not between 0 and {self._vocab - 1}")
        self._request.set_tensor("input_ids", ov.Tensor(ids))
        self._request.set_tensor("attention_mask", ov.Tensor(mask))
        self._request.infer()
        states: NDArray[np.float32] = self._request.get_tensor("embedding").data
        if not self._normalised:
            return np.array(states)
        # here and not in the graph: in bf16 the length would be off by a part in a hundred
        norms: NDArray[np.float32] = np.linalg.norm(states, axis=-1, keepdims=True)
        return np.divide(states, np.maximum(norms, TINY), dtype=np.float32)
