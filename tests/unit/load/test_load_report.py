import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.errors import InvalidParameter
from penstock.load.arrivals import Closed, poisson
from penstock.load.document import curve_knee, document, row_lines
from penstock.load.plot import draw
from penstock.load.report import Slo, Spread, percentile, summarise, timeline, tokens
from penstock.load.row import Outcome, Row
from penstock.load.runner import Results

DONE = Row(0, 0, 0.0, 0.0, 1.0, 3.0, 100, 20, 200, Outcome.DONE)
REFUSED = Row(1, 0, 4.0, 4.0, None, 4.0, 0, 0, 429, Outcome.REFUSED, retry_after=1)
ALONE = Closed(1)


def results(*rows, seconds=10.0, arrivals=ALONE):
    return Results("guide", arrivals, 0.0, 0.0, seconds, rows)


def test_tokens_count_when_they_were_worked_on():
    assert tokens(DONE, 0, 0.5) == 50
    assert tokens(DONE, 1, 2) == 10
    assert tokens(DONE, 0, 9) == 120
    assert tokens(DONE, 3, 9) == 0


times = st.floats(0, 50)
served = st.builds(
    lambda sent, ttft, rest, i, o: Row(0, 0, sent, sent, sent + ttft, sent + ttft + rest, i, o, 200, Outcome.DONE),
    times,
    times,
    times,
    st.integers(0, 5000),
    st.integers(0, 500),
)


@given(st.lists(served, max_size=20))
def test_no_token_is_lost_or_counted_twice(rows):
    total = sum(row.tokens_in + row.tokens_out for row in rows)
    assert math.fsum(timeline(rows)) == pytest.approx(total, rel=1e-6, abs=1e-6)
    assert math.fsum(tokens(row, 0, 1e6) for row in rows) == pytest.approx(total)


def test_a_report_counts_refused_and_failed_requests_as_not_good():
    late = replace(DONE, number=2, sent_at=5.0, first_at=8.0, ended_at=9.0)
    failed = replace(DONE, number=3, sent_at=6.0, first_at=None, ended_at=6.5, tokens_in=0, outcome=Outcome.FAILED)
    report = summarise(results(DONE, REFUSED, late, failed), Slo(ttft_s=2.0), warm_s=0)
    assert report.outcomes == {"done": 2, "left": 0, "refused": 1, "invalid": 0, "failed": 1, "cut": 0}
    assert (report.goodput, report.kept) == (0.1, 0.25)
    assert report.requests_per_s == pytest.approx(0.2)
    assert report.tokens_per_s == pytest.approx(24)
    assert report.output_tokens_per_s == pytest.approx(4)
    assert (report.ttft.p50, report.latency.mean) == (2.0, 3.5)


@pytest.mark.parametrize(
    ("slo", "good"),
    [
        (Slo(), True),
        (Slo(1), True),
        (Slo(0.9), False),
        (Slo(1, 0.2), True),
        (Slo(1, 0.1), False),
        (Slo(latency_s=60), True),
        (Slo(latency_s=0.1), False),
    ],
)
def test_a_service_level_is_kept_or_not(slo, good):
    assert slo.kept(DONE) is good
    assert not slo.kept(REFUSED)


def test_the_beginning_is_left_out():
    second = replace(DONE, number=1, sent_at=3.0, first_at=4.0, ended_at=6.0)
    report = summarise(results(DONE, second, seconds=6.0))
    assert (report.warm_s, report.measured_s) == (2.0, 4.0)
    assert report.tokens_per_s == pytest.approx((10 + 120) / 4)
    assert report.short  # 3 x 3 s do not go into 6 s
    assert not summarise(results(DONE)).short
    with pytest.raises(InvalidParameter, match="warm-up"):
        summarise(results(DONE), warm_s=10)


def test_retries_are_accepted_or_refused_again():
    again = replace(REFUSED, attempt=1)
    rows = (REFUSED, again, replace(DONE, number=1, attempt=2), REFUSED, replace(DONE, attempt=1))
    report = summarise(results(*rows))
    assert (report.retries, report.first_retry_accepted) == (3, 0.5)
    assert summarise(results(DONE)).first_retry_accepted is None


def test_a_run_in_which_nothing_came_is_a_report_too():
    report = summarise(results(), Slo(1))
    assert (report.requests, report.tokens_per_s, report.latency, report.goodput) == (0, 0, None, 0)


def test_percentiles_are_interpolated():
    assert percentile([4, 1, 3, 2], 50) == 2.5
    assert percentile([1, 2], 99) == pytest.approx(1.99)
    assert percentile([7], 99) == 7


def curve():
    base = summarise(results(DONE))
    return [
        replace(base, parallel=n, tokens_per_s=rate, latency=Spread(n, n, n, 2 * n))
        for n, rate in [(1, 400), (2, 700), (4, 950), (8, 1000), (16, 990)]
    ]


def test_the_knee_is_found_as_the_profiler_finds_it():
    assert curve_knee(curve()).parallel == 4
    assert curve_knee(curve()[:1]) is None
    assert document("guide", curve())["knee"] == {"parallel": 4, "tokens_per_s": 950}


def test_a_measurement_is_json_and_a_picture(tmp_path):
    one = summarise(results(DONE, REFUSED, arrivals=poisson(1)), Slo(1), warm_s=0)
    assert json.loads(json.dumps(document("guide", [one])))["runs"][0]["latency"]["p50"] == 3
    assert json.loads(row_lines([DONE]))["outcome"] == "done"
    for number, reports in enumerate(([one], curve())):
        draw(tmp_path / f"{number}.png", reports, "guide")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
