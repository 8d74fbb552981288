"""Rates from counters."""

from penstock.domain.pace import Pace


def test_a_rate_looks_back_over_its_window_and_begins_anew_when_a_counter_does():
    pace = Pace(10)
    assert pace.per_s() == 0
    for second in range(30):
        pace.add(second, 5.0 * second if second < 20 else 95.0)
    assert pace.per_s() == 0
    pace.add(30, 145)
    assert pace.per_s() == 5
    pace.add(31, 0)
    pace.add(32, 7)
    assert pace.per_s() == 7
