"""What is counted of requests."""

import pytest

from penstock.domain.request_sums import RequestSums, tpot_of, ttft_of
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage


def record(outcome=RequestOutcome.COMPLETED, status=200, *, streaming=True, out=11, ttft=500.0, endpoint="e1"):
    return RequestRecord(
        "q", endpoint, "guide", "guide-1", "r1", "ann", "llm/v1/chat", streaming, 0, outcome, status,
        Usage(5, out, 3), 20.0, ttft, 1500.0,
    )  # fmt: skip


def sums_of(*records, overhead_ms=0.3):
    sums = RequestSums()
    sums.publish("e1")
    for one in records:
        sums.see(one, overhead_ms)
    return sums


def test_requests_are_summed_by_outcome_and_status():
    sums = sums_of(record(), record(), record(RequestOutcome.REJECTED, 429, out=0))
    (found,) = sums.told()["e1"].values()
    assert found.ended == {("completed", 200): 2, ("rejected", 429): 1}
    assert (found.input_tokens, found.output_tokens, found.cached_tokens) == (15, 22, 9)
    assert (sum(found.duration.counts), found.duration.total) == (3, 4.5)
    assert (sum(found.queue.counts), sum(found.ttft.counts), sum(found.tpot.counts)) == (3, 2, 2)
    assert found.ttft.total == 1.0
    assert found.overhead.total == pytest.approx(0.0009)


def test_ttft_is_that_of_streams_which_were_answered():
    assert ttft_of(record()) == 0.5
    assert tpot_of(record()) == pytest.approx(0.1)
    assert ttft_of(record(streaming=False)) is None
    assert tpot_of(record(out=1)) is None
    assert ttft_of(record(RequestOutcome.CANCELLED, 499)) is None
    assert tpot_of(record(RequestOutcome.FAILED, 500)) is None


def test_requests_without_an_answer_have_no_overhead():
    (found,) = sums_of(record(), overhead_ms=-1).told()["e1"].values()
    assert sum(found.overhead.counts) == 0


def test_what_was_counted_goes_with_the_endpoint():
    sums = sums_of(record())
    before = sums.told()
    sums.see(record(), 0.1)
    sums.withdraw("e1")
    sums.see(record(), 0.1)
    assert sums.told() == {}
    assert before["e1"]["guide-1"].ended == {("completed", 200): 1}, "as it was then"


def test_a_value_at_a_bound_is_below_it():
    (found,) = sums_of(record(ttft=1000.0)).told()["e1"].values()
    assert found.ttft.counts[found.ttft.bounds.index(1.0)] == 1
