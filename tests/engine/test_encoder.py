"""A text's vector does not depend on the texts beside it."""

import numpy as np
import pytest
from tiny_models import BERT, write_model

from penstock_engine.loader import load_encoder
from penstock_engine.work import Precision

RNG = np.random.default_rng(1)
TEXTS = [RNG.integers(0, 100, length) for length in (1, 40, 7, 64)]


@pytest.fixture(scope="module", params=Precision)
def encoder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    return load_encoder(write_model(folder, BERT), folder / "cache", request.param, print)


def test_padding_does_not_matter(encoder):
    together, alone = encoder.embed(TEXTS), np.concatenate([encoder.embed([text]) for text in TEXTS])
    assert together.shape == (4, encoder.dimensions) == (4, 64)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-6)
    assert (together * alone).sum(1).min() > 0.999
    assert np.abs((together[0] * together[1]).sum()) < 0.99


def test_results_outlive_the_next_call(encoder):
    first = encoder.embed(TEXTS[:1])
    kept = first.copy()
    encoder.embed(TEXTS[1:2])
    assert (first == kept).all()


def test_limits(encoder):
    assert encoder.context_length == 64
    assert encoder.embed([]).shape == (0, 64)
    for bad, reason in (
        (np.zeros(65, np.int64), "between 1 and 64 tokens"),
        (np.zeros(0, np.int64), "between 1 and 64 tokens"),
        (np.array([100]), "token id"),
        (np.array([-1]), "token id"),
    ):
        with pytest.raises(ValueError, match=reason):
            encoder.embed([TEXTS[0], bad])
