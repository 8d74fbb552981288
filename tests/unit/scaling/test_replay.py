"""Replays: the same decisions as production, beside the oracle."""

import json
import random

from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.domain.scaling import Policy
from penstock.domain.scaling_replay import Sold, replay
from penstock.domain.scaling_traces import KINDS, generate

SOLD = Sold(chunk=1000, minimum=1, maximum=12)


def test_a_steady_demand_costs_what_its_chunks_cost():
    found = replay([1500.0] * 600, Policy(), SOLD)
    assert set(found.oracle) == {2} or found.oracle[-1] == 2
    assert found.held[-1] == 2
    assert found.late < 0.01


def test_a_slow_start_makes_work_late_and_is_paid_for():
    step = [500.0] * 120 + [6000.0] * 120
    at_once, slow = (replay(step, Policy(), Sold(1000, 1, 12, startup)) for startup in (0, 60))
    assert slow.late > at_once.late
    assert slow.under > at_once.under


def test_the_figures_of_a_day_can_be_had_as_json(tmp_path):
    trace = tmp_path / "trace.jsonl"
    rows = [{"t": at, "input_tokens": 2048, "output_tokens": 256} for at in range(300)]
    trace.write_text("\n".join(json.dumps(row) for row in rows))
    done = CliRunner().invoke(app, ["scaling", "replay", str(trace), "--json", "--png", str(tmp_path / "a.png")])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["mean_tokens_per_s"] == 2304
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_what_cannot_be_read_is_told(tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"t": 1}\n')
    assert CliRunner().invoke(app, ["scaling", "replay", str(bad)]).exit_code == 1
    assert CliRunner().invoke(app, ["scaling", "replay", "nothing"]).exit_code == 1
    assert CliRunner().invoke(app, ["scaling", "replay", "poisson", "--policy", "nothing"]).exit_code == 1
    assert CliRunner().invoke(app, ["scaling", "replay", "poisson", "--min", "3", "--max", "2"]).exit_code == 1


def test_every_kind_of_traffic_replays_within_its_band():
    for kind in KINDS:
        found = replay(generate(kind, 1800, 1000, random.Random(1).random), Policy(), SOLD)
        assert all(1 <= chunks <= 12 for chunks in found.held)
