"""Sums of the requests that ended in the last minute."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.last_minute import LATENCIES_MS, LastMinute
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage

NOW = 1_700_000_000_500
ONE = RequestRecord(
    "a", "e1", "guide", "one", "r", "ann", "", False, NOW, RequestOutcome.COMPLETED, 200, Usage(), 1.0, 2.0, 0.0
)


@given(
    ended=st.lists(
        st.tuples(st.integers(0, 130), st.sampled_from([200, 404, 429, 499, 500, 504]), st.floats(0, 400_000)),
        max_size=40,
    ),
    later=st.integers(0, 70),
)
def test_they_are_those_of_the_requests(ended, later):
    seen = LastMinute()
    for ago_s, status, queue_ms in ended:
        seen.see([replace(ONE, received_at=NOW - ago_s * 1000, status=status, queue_ms=queue_ms)], NOW)
    seen.forget(NOW + later * 1000)
    told = seen.told("e1", NOW + later * 1000)
    fresh = [(status, queue) for ago_s, status, queue in ended if ago_s + later < 60]
    assert told.requests == sum(told.queue.counts) == sum(told.duration.counts) == len(fresh)
    assert told.client_errors == sum(400 <= status < 500 for status, _ in fresh)
    assert told.server_errors == sum(status >= 500 for status, _ in fresh)
    for part, bound in enumerate(LATENCIES_MS):
        assert sum(told.queue.counts[: part + 1]) == sum(queue <= bound for _, queue in fresh)


def test_it_holds_seconds_and_not_requests_and_nothing_of_what_is_gone():
    seen = LastMinute()
    for second in range(200):
        now = NOW + second * 1000
        seen.see([replace(ONE, received_at=now)] * 100, now)
        seen.forget(now)
    assert len(seen._seconds["e1"]) == 60
    assert seen.told("e1", now).requests == 6000
    seen.forget(now + 60_000)
    assert seen._seconds == {}
    assert seen.told("e1", now + 60_000).requests == 0


def test_only_what_was_sent_to_a_model_counts_as_its_time():
    seen = LastMinute()
    seen.see([replace(ONE, queue_ms=10.0, duration_ms=30.0), replace(ONE, queue_ms=5.0, duration_ms=5.0)], NOW)
    told = seen.told("e1", NOW)
    assert (sum(told.prediction.counts), told.prediction.total) == (1, 20.0)
    assert (sum(told.duration.counts), told.queue.total) == (2, 15.0)
