"""How many requests for embeddings may wait in an engine."""

import numpy as np
import pytest

from penstock_engine.embedding_loop import EmbeddingLoop, Group
from penstock_engine.metrics import Metrics
from penstock_engine.refusal import QueueFull


def group(inputs):
    return Group([np.array([1, 2, 3])] * inputs)


def test_requests_are_counted_however_many_inputs_each_has():
    loop = EmbeddingLoop(None, Metrics(), max_queue=2)
    loop.submit(group(500))
    loop.submit(group(1))
    assert loop.waiting == 501
    with pytest.raises(QueueFull, match="2 requests are waiting already; the limit is 2"):
        loop.submit(group(1))
