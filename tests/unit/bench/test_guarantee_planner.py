"""The trace that the planner and a real server both get, and the rows of the batch."""

import pytest

from guarantee.planner import LOAD, MIX, ROWS, SECONDS, _bodies, _planned, _trace
from guarantee.runs import Tenant
from guarantee.work import Scale
from penstock.domain.profile import CostModel
from penstock.domain.simulated_market import Market
from penstock.domain.tenancy import Terms
from penstock.domain.throughput import divide
from penstock.load.target import Target

COST = CostModel(c=0.001, a=6e-5, e=2e-8, b=3e-4, d=5e-7)
TERMS = Terms(2304 / COST.seconds(2048, 256), 8, COST, fixed_s=0.001, running=32, kv_tokens=46_080)
CHUNKS = divide(TERMS.throughput)
TENANT = Tenant(
    Target("http://x", "e"), float(CHUNKS.chunk * CHUNKS.slices), Scale(COST, TERMS.throughput), 8 * TERMS.reference_s
)


def test_the_trace_offers_its_part_of_what_was_bought_and_is_always_the_same():
    times, workload = _trace(TENANT)
    assert (times, workload) == _trace(TENANT)
    assert times == sorted(times)
    assert times[-1] < SECONDS
    assert set(workload.asks) == set(MIX)
    offered = sum(TENANT.scale.tokens(ask.tokens_in, ask.tokens_out) for ask in workload.asks) / SECONDS
    assert offered == pytest.approx(LOAD * TENANT.bought, rel=0.2)


def test_what_is_planned_for_it_is_all_done_on_a_device_of_its_own():
    times, workload = _trace(TENANT)
    planned = _planned(Market(TERMS, CHUNKS, busy=False), CHUNKS.slices, times, workload)
    assert len(planned.ttft_s) == len(times)
    assert planned.tokens_per_s == pytest.approx(LOAD * TENANT.bought, rel=0.2)
    assert 0 < planned.ttft_s[len(times) // 2] < 0.5


def test_rows_are_of_mixed_sizes():
    rows = list(_bodies())
    assert len(rows) == ROWS
    assert len({row["max_tokens"] for row in rows}) > 50
    assert len({len(str(row["prompt"])) for row in rows}) > 50
