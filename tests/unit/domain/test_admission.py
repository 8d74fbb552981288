"""Admission: a bounded queue with an honest refusal."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.admission import Admit, Load, Reject, decide


@given(st.integers(0, 500), st.integers(1, 200), st.integers(1, 64), st.floats(0, 600))
def test_refused_only_when_full_and_always_with_whole_seconds(in_flight, limit, parallel, mean_s):
    answer = decide(Load(in_flight, limit, min(parallel, limit), mean_s))
    if in_flight < limit:
        assert answer == Admit()
    else:
        assert isinstance(answer, Reject)
        assert isinstance(answer.retry_after_s, int)
        assert 1 <= answer.retry_after_s <= 60


def test_the_refusal_names_limit_value_and_use():
    answer = decide(Load(in_flight=12, limit=12, parallel=4, mean_s=2.0))
    assert answer.reason == (
        "Exceeded max number of parallel requests: 12 are in flight and the limit is 12 (4 running, 8 queued)."
    )
    assert answer.retry_after_s == 4
