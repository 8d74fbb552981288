"""Replays: the same decisions as production, beside the oracle."""

import json
import random

from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.domain.scaling import Policy
from penstock.domain.scaling_replay import Ground, Holder, replay
from penstock.domain.scaling_traces import KINDS, generate

GROUND = Ground(chunk=1000, slices=12)


def test_a_steady_demand_costs_what_its_chunks_cost():
    found = replay(Holder([1500.0] * 600, 1, 12), Policy(), GROUND)
    assert set(found.oracle) == {2} or found.oracle[-1] == 2
    assert found.held[-1] == 2
    assert found.late < 0.01


def test_a_slow_start_makes_work_late_and_is_paid_for():
    step = Holder([500.0] * 120 + [6000.0] * 240, 1, 12)
    at_once, slow = (replay(step, Policy(), Ground(1000, 4, 3, startup)) for startup in (0, 60))
    assert slow.late > at_once.late
    assert slow.under > at_once.under
    assert max(slow.held) >= max(at_once.held) >= 7, "what waits for the start must drain too"
    assert any("A replica is started on device 2" in one.reason for one in slow.steps)


def test_a_replica_ends_and_one_device_is_enough_again():
    found = replay(Holder([500.0] * 60 + [6000.0] * 60 + [500.0] * 900, 1, 12), Policy(), Ground(1000, 4, 3, 5))
    assert found.steps[-1].devices == 1
    assert found.held[-1] == 1


def test_others_leave_less_and_their_minimums_are_theirs():
    step = Holder([500.0] * 60 + [9000.0] * 240, 1, 12)
    alone = replay(step, Policy(), GROUND)
    beside = replay(step, Policy(), GROUND, [Holder([100.0] * 300, 6, 6), Holder([3000.0] * 300, 1, 4)])
    assert max(alone.held) >= 10
    assert max(beside.held) <= 5
    assert beside.under > alone.under


def test_nothing_is_held_while_nobody_asks_and_waking_takes_its_time():
    quiet = Holder([800.0] * 30 + [0.0] * 400 + [800.0] * 60, 0, 4)
    found = replay(quiet, Policy(idle_s=120), Ground(1000, 4, 1, 20))
    assert found.held[300] == 0
    assert found.held[430:450] == (0,) * 20
    assert found.held[-1] >= 1
    assert 0 < found.late < 1


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
    for wrong in (
        ["poisson", "--min", "3", "--max", "2"],
        ["poisson", "--other", "poisson:1"],
        ["poisson", "--other", "poisson:3:2"],
        ["poisson", "--slices", "4", "--other", "poisson:4:4"],
        ["--ledger", "guide"],
        ["poisson", "--profile", str(bad)],
    ):
        done = CliRunner().invoke(app, ["scaling", "replay", *wrong])
        assert (done.exit_code, bool(done.stderr)) == (1, True), wrong


def test_a_profile_says_what_requests_cost_and_what_a_device_sells(tmp_path):
    cost = {"c": 0.0, "a": 0.0001, "e": 0.0, "b": 0.002, "d": 0.0}
    info = {
        "estimated": False,
        "throughput": 1000.0,
        "throughput_chunk_size": 100,
        "slices": 4,
        "profile": {"cost": cost, "startup_s": 3.0},
        "terms": {
            "knee": 8, "fixed_s": 0.0, "max_running": 32, "kv_tokens": 0, "input_tokens": 2048, "output_tokens": 256
        },
    }  # fmt: skip
    profile, trace = tmp_path / "profile.json", tmp_path / "trace.jsonl"
    profile.write_text(json.dumps(info))
    rows = [{"t": at, "input_tokens": 1000, "output_tokens": 200} for at in range(200)]
    trace.write_text("\n".join(json.dumps(row) for row in rows))
    asked = ["scaling", "replay", str(trace), "--profile", str(profile), "--devices", "2", "--max", "8", "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["mean_tokens_per_s"] == 500
    assert any("takes about 3 s" in step["reason"] for step in found["steps"])
    assert max(step["new"] for step in found["steps"]) in {6, 7, 8}, "500 tokens/s with a tenth to spare, and a backlog"


def test_every_kind_of_traffic_replays_within_its_band():
    for kind in KINDS:
        found = replay(Holder(generate(kind, 1800, 1000, random.Random(1).random), 1, 12), Policy(), GROUND)
        assert all(1 <= chunks <= 12 for chunks in found.held)
