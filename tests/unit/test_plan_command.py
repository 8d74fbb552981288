"""`penstock plan` from the command line: its sources, what it writes, and how it ends."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from penstock.adapters.store.store import SqlStore
from penstock.cli.main import app
from penstock.cli.plan_sources import from_mix, mix_of
from penstock.domain.usage import RequestOutcome, RequestRecord, Usage

COST = {"c": 0.0086, "a": 7.45e-5, "e": 1.3e-8, "b": 2.56e-4, "d": 6.0e-7}
ANSWER = {
    "optimizable": True,
    "throughput": 3743.0,
    "throughput_chunk_size": 840,
    "slices": 4,
    "terms": {
        "knee": 8,
        "fixed_s": 0.0005,
        "max_running": 32,
        "kv_tokens": 100_000,
        "input_tokens": 2048,
        "output_tokens": 256,
    },
    "profile": {
        "cost": COST,
        "startup_s": 4.0,
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


def test_a_mix_may_have_several_shapes(profile):
    done = run("--rate", "2", "--shape", "500:60:3", "--shape", "100:200", "--duration", "120", "--profile", profile,
               "--ttft-p99", "3", "--json", "-")  # fmt: skip
    assert done.exit_code == 0, done.output
    alone = run("--rate", "2", "--shape", "500:60", "--duration", "120", "--profile", profile,
                "--ttft-p99", "3", "--json", "-")  # fmt: skip
    told, other = json.loads(done.stdout), json.loads(alone.stdout)
    assert told["requests"] == other["requests"], "the same arrivals"
    assert told["offered_tokens_per_s"] != other["offered_tokens_per_s"]
    asks = from_mix(10, 1.0, mix_of(["500:60:3", "100:200"], None, None, 1), 400, 0)
    shapes = [(one.tokens_in, one.tokens_out) for one in asks]
    assert shapes.count((500, 60)) + shapes.count((100, 200)) == len(shapes)
    assert 0.7 < shapes.count((500, 60)) / len(shapes) < 0.8


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
        (["--rate", "1", "--price", "-1", "PROFILE"], "--price"),
        (["--rate", "1", "--idle", "0", "PROFILE"], "--idle"),
        (["--rate", "1", "--shape", "many", "PROFILE"], "IN:OUT:PART such as"),
        (["--rate", "1", "--shape", "10:10:0", "PROFILE"], "IN:OUT:PART such as"),
        (["--rate", "1", "--shape", "0:10", "PROFILE"], "tokens in must be positive"),
        (["--rate", "1", "--shape", "10:10", "--input-tokens", "5", "PROFILE"], "exclude it"),
        (["--ledger", "mine", "--shape", "10:10", "PROFILE"], "go with --rate"),
        (["--rate", "1", "--png", "/nowhere/plan.png", "PROFILE"], "cannot be written"),
        (["--rate", "1", "--input-tokens", "200000", "PROFILE"], "longer than the 100,000"),
        (["--rate", "1", "--model", "main.default.guide"], "NAME/VERSION"),
        (["--rate", "1", "--model", "main.default.guide/1", "--url", "ftp://x"], "--url must begin"),
        (["--rate", "1", "--model", "main.default.guide/1", "--url", "http://127.0.0.1:9"], "cannot be asked"),
    ],
)
def test_mistakes_are_named(arguments, said, profile):
    given = [part for one in arguments for part in (["--profile", profile] if one == "PROFILE" else [one])]
    done = run(*given)
    assert done.exit_code == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"t": 0, "input_tokens": "many", "output_tokens": 1}', '"input_tokens" must be a whole number'),
        ('{"t": 0, "input_tokens": 5.5, "output_tokens": 1}', '"input_tokens" must be a whole number'),
        ('{"t": 0, "input_tokens": 5, "output_tokens": -1}', '"output_tokens" must be a whole number'),
        ('{"t": NaN, "input_tokens": 5, "output_tokens": 1}', '"t" must be seconds'),
        ('{"input_tokens": 5, "output_tokens": 1}', '"t" must be seconds'),
        ("[1, 2]", "must be a JSON object"),
        ("t,in,out", "is not JSON"),
        ("\xff", "not text in UTF-8"),
        ("", "has no rows"),
    ],
)
def test_a_wrong_trace_is_refused_with_its_line(line, said, profile, tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_bytes(line.encode("latin-1"))
    done = run(str(path), "--profile", profile)
    assert done.exit_code == 1
    assert said in done.stderr
    assert str(path) in done.stderr


@pytest.mark.parametrize("change", [{"terms": None}, {"profile": None}, {"throughput": "fast"}, {"estimated": True}])
def test_an_answer_without_what_is_needed_is_refused(change, tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps({**ANSWER, **change}))
    done = run("--rate", "1", "--profile", str(path))
    assert done.exit_code == 1
    assert "measured" in done.stderr


def test_an_endpoint_that_sleeps_costs_less_and_says_when(profile, tmp_path):
    trace, out = tmp_path / "trace.jsonl", tmp_path / "plan.json"
    rows = [{"t": start + at, "input_tokens": 500, "output_tokens": 60} for start in (0, 900) for at in range(100)]
    trace.write_text("\n".join(map(json.dumps, rows)))
    done = run(str(trace), "--profile", profile, "--ttft-p99", "6", "--idle", "120", "--json", str(out))
    assert done.exit_code == 0, done.output
    told = json.loads(out.read_text())
    assert told["minimum"]["chunks"] == 0
    replicas = [(one["t"], one["replicas"]) for one in told["allotments"]]
    slept = [at for at, count in replicas if count == 0]
    assert len(slept) == 1
    assert 99 + 120 <= slept[0] < 99 + 130
    assert next(at for at, count in replicas if count and at > slept[0]) == 900


def test_a_profile_that_was_not_measured_is_refused(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('{"optimizable": true, "throughput": 100, "estimated": true}')
    done = run("--rate", "1", "--profile", str(path))
    assert done.exit_code == 1
    assert "measured" in done.stderr
