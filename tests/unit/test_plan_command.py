"""`penstock plan` from the command line: its sources, what it writes, and how it ends."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from penstock.adapters.store.store import SqlStore
from penstock.cli.main import app
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage

COST = {"c": 0.0086, "a": 7.45e-5, "e": 1.3e-8, "b": 2.56e-4, "d": 6.0e-7}
ANSWER = {
    "optimizable": True,
    "throughput": 3743.0,
    "profile": {
        "device": "cpu",
        "knee": 8,
        "cost": COST,
        "input_tokens": 2048,
        "output_tokens": 256,
        "startup_s": 4.0,
        "curve": [
            {"parallel": 1, "tokens_per_s": 2500.0, "latency_s": 0.9, "ttft_s": 0.2},
            {"parallel": 8, "tokens_per_s": 3743.0, "latency_s": 4.9, "ttft_s": 0.9},
        ],
    },
}


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(ANSWER))
    return str(path)


def run(*arguments):
    return CliRunner().invoke(app, ["plan", *arguments])


def test_a_trace_gives_a_band_a_picture_and_json(profile, tmp_path):
    trace, png, out = tmp_path / "trace.jsonl", tmp_path / "plan.png", tmp_path / "plan.json"
    rows = [{"t": at / 2, "input_tokens": 500, "output_tokens": 60} for at in range(240)]
    trace.write_text("\n".join(map(json.dumps, rows)))
    done = run(str(trace), "--profile", profile, "--ttft-p99", "3", "--png", str(png), "--json", str(out))
    assert done.exit_code == 0, done.output
    assert "Buy " in done.output
    assert "Allotment over time" in done.output
    assert png.read_bytes().startswith(b"\x89PNG")
    told = json.loads(out.read_text())
    assert told["requests"] == 240
    assert told["target"]["kept"]
    assert 1 <= told["maximum"]["chunks"] <= 8
    assert told["minimum"]["chunks"] <= told["maximum"]["chunks"]
    assert told["maximum"]["tokens_per_s"] == told["maximum"]["chunks"] * told["chunk"]
    assert told["predicted"]["ttft_p99_s"] <= 3


def test_a_mix_is_planned_with_a_price(profile):
    done = run("--rate", "1", "--input-tokens", "500", "--output-tokens", "60", "--duration", "120",
               "--profile", profile, "--ttft-p99", "3", "--price", "2", "--json", "-")  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["cost"]["billed"] == 2 * told["chunk_hours"]["billed"]


def test_what_cannot_be_kept_ends_with_two(profile):
    done = run("--rate", "50", "--duration", "20", "--profile", profile, "--max-replicas", "1")
    assert done.exit_code == 2
    assert "Not even" in done.output


def test_a_past_period_is_read_from_the_ledger_while_the_server_has_it(profile, tmp_path):
    async def fill():
        store = SqlStore(f"sqlite:///{tmp_path / 'penstock.db'}")
        await store.open()
        async with store.unit() as unit:
            await unit.requests.add([record(number) for number in range(60)])
        return store

    async def scenario():
        store = await fill()
        try:
            return await asyncio.to_thread(
                run, "--ledger", "mine", "--data-dir", str(tmp_path), "--profile", profile,
                "--from", "1970-01-01T00:00:10", "--ttft-p99", "5", "--json", "-",
            )  # fmt: skip
        finally:
            await store.close()

    done = asyncio.run(scenario())
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["requests"] == 50


def record(number):
    return RequestRecord(
        request_id=f"r{number}", endpoint_id="e", endpoint_name="mine", served_entity="s", replica_id="p",
        principal="u", task="chat", streaming=False, received_at=number * 1000, outcome=RequestOutcome.COMPLETED,
        status=200, usage=Usage(400, 40), queue_ms=0.0, ttft_ms=1.0, duration_ms=2.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of TRACE"),
        (["--rate", "1"], "--profile FILE"),
        (["--rate", "1", "--profile", "/nowhere.json"], "cannot be read"),
        (["--ledger", "mine", "--data-dir", "/nowhere", "PROFILE"], "does not exist"),
        (["--rate", "1", "--served", "2", "PROFILE"], "part to serve"),
        (["--rate", "1", "--duration", "0", "PROFILE"], "--duration"),
        (["--ledger", "mine", "--database", "mysql://x", "PROFILE"], "database must begin"),
    ],
)
def test_mistakes_are_named(arguments, said, profile):
    given = [part for one in arguments for part in (["--profile", profile] if one == "PROFILE" else [one])]
    done = run(*given)
    assert done.exit_code == 1
    assert said in done.stderr


def test_a_profile_that_was_not_measured_is_refused(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('{"optimizable": true, "throughput": 100, "estimated": true}')
    done = run("--rate", "1", "--profile", str(path))
    assert done.exit_code == 1
    assert "measured" in done.stderr
