import asyncio
import json

import pytest
from typer.testing import CliRunner

from penstock.cli.load_screen import remarks
from penstock.cli.main import app


@pytest.fixture
def penstock_load(endpoint, monkeypatch):
    monkeypatch.setenv("PENSTOCK_URL", endpoint.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "secret")
    monkeypatch.setenv("COLUMNS", "200")

    async def call(*arguments):
        return await asyncio.to_thread(CliRunner().invoke, app, ["load", "guide", *map(str, arguments)])

    return call


async def test_a_sweep_is_shown_and_written(penstock_load, endpoint, tmp_path):
    png, figures, raw = (tmp_path / name for name in ("curve.png", "figures.json", "rows.jsonl"))
    small = ("--input-tokens", 41, "--output-tokens", 4, "--duration", 0.2)
    shown = await penstock_load("--closed", "1,4", *small, "--png", png, "--json", figures, "--raw", raw)
    assert shown.exit_code == 0, shown.output
    assert "Knee of the curve" in shown.output
    told = json.loads(figures.read_text())
    assert [run["parallel"] for run in told["runs"]] == [1, 4]
    assert told["runs"][1]["tokens_per_s"] > told["runs"][0]["tokens_per_s"] > 0
    assert png.read_bytes().startswith(b"\x89PNG")
    rows = [json.loads(line) for line in raw.read_text().splitlines()]
    assert len(rows) == sum(run["requests"] for run in told["runs"])
    assert {row["tokens_in"] for row in rows} == {41}
    assert endpoint.most_running == 4


async def test_an_open_loop_counts_goodput_and_prints_json_alone(penstock_load):
    # So long that something is sent after the warm-up also where the machine stands still for a second.
    small = ("--input-tokens", 5, "--output-tokens", 2, "--duration", 3)
    shown = await penstock_load("--rate", 5, "--arrivals", "constant", *small, "--slo-ttft", 5, "--json", "-")
    assert shown.exit_code == 0, shown.output
    (run,) = json.loads(shown.stdout)["runs"]
    assert run["requests"] == 15
    assert run["kept"] == 1
    assert "100.0%" in shown.stderr


async def test_a_trace_without_tokens_out_is_for_embeddings(penstock_load, tmp_path):
    trace = tmp_path / "trace.jsonl"
    trace.write_text("".join(f'{{"t": {t}, "input_tokens": 5, "output_tokens": 0}}\n' for t in (0, 10)))
    shown = await penstock_load("--trace", trace, "--speed", 100, "--json", "-")
    assert (shown.exit_code, "only embeddings have none" in shown.stderr) == (1, True)
    shown = await penstock_load("--embeddings", "--trace", trace, "--speed", 100, "--json", "-")
    assert json.loads(shown.stdout)["runs"][0]["outcomes"]["done"] == 2


async def test_a_trace_lasts_as_long_as_it_is(penstock_load, tmp_path):
    trace = tmp_path / "trace.jsonl"
    trace.write_text("".join(f'{{"t": {t}, "input_tokens": 5, "output_tokens": 2}}\n' for t in (0, 10, 20)))
    shown = await penstock_load("--trace", trace, "--speed", 100, "--json", "-")
    assert json.loads(shown.stdout)["runs"][0]["outcomes"]["done"] == 3


async def test_rows_of_ones_own_are_sent(penstock_load, endpoint, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"messages": [{"role": "user", "content": "one two"}], "max_tokens": 2}\n')
    shown = await penstock_load("--rows", rows, "--closed", 1, "--duration", 0.1)
    assert shown.exit_code == 0, shown.output
    assert {path for path, _ in endpoint.bodies} == {"/serving-endpoints/chat/completions"}


async def test_embeddings_have_latency_and_say_that_there_is_no_first_token(penstock_load, endpoint, tmp_path):
    png, figures = tmp_path / "curve.png", tmp_path / "figures.json"
    asked = ("--embeddings", "--input-tokens", 41, "--duration", 0.3, "--slo-latency", 5)
    shown = await penstock_load("--closed", "1,3", *asked, "--png", png, "--json", figures)
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("time to first token and per token do not apply") == 2
    for run in json.loads(figures.read_text())["runs"]:
        assert (run["ttft"], run["tpot"], run["kept"], run["output_tokens_per_s"]) == (None, None, 1, 0)
        assert run["latency"]["p50"] > 0
        assert run["tokens_per_s"] > 0
    assert png.read_bytes().startswith(b"\x89PNG")
    assert {path for path, _ in endpoint.bodies} == {"/serving-endpoints/embeddings"}
    assert endpoint.most_running == 0


async def test_rows_with_input_go_to_embeddings(penstock_load, endpoint, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input": "one two three"}\n')
    shown = await penstock_load("--rows", rows, "--rate", 20, "--duration", 0.2, "--json", "-")
    assert shown.exit_code == 0, shown.output
    assert {path for path, _ in endpoint.bodies} == {"/serving-endpoints/embeddings"}


async def test_an_answer_without_data_is_a_failure(penstock_load, endpoint, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input": "one two three"}\n')
    endpoint.answer = (200, {"nothing": 1})
    shown = await penstock_load("--rows", rows, "--rate", 20, "--duration", 0.2, "--json", "-")
    assert shown.exit_code == 1
    assert set(json.loads(shown.stdout)["runs"][0]["outcomes"].items()) >= {("done", 0), ("failed", 3)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--closed", "1,x"], "--closed must be numbers"),
        (["--closed", "1", "--rate", 2], "exclude each other"),
        (["--rate", 2, "--arrivals", "odd"], "poisson, gamma or constant"),
        (["--rate", -2], "rate must be positive"),
        (["--trace", "/none", "--rate", 1], "--trace says when"),
        (["--trace", "/none"], "cannot be read"),
        (["--duration", -1], "--duration must be positive"),
        (["--input-tokens", 0], "must be positive"),
        (["--output-tokens", 0], "must be positive"),
        (["--embeddings", "--output-tokens", 5], "no tokens out"),
        (["--embeddings", "--max-tokens", 5], "no tokens out"),
        (["--embeddings", "--slo-ttft", 1], "--slo-latency is their limit"),
        (["--embeddings", "--chat"], "exclude each other"),
        (["--png", "/nowhere/a.png"], "there is no folder /nowhere"),
    ],
)
async def test_what_makes_no_sense_is_said_and_ends_with_1(penstock_load, arguments, said):
    shown = await penstock_load(*arguments)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert said in shown.stderr


async def test_a_run_in_which_nothing_was_served_ends_with_1(penstock_load, endpoint, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "one"}\n')
    endpoint.refuse = 1000
    shown = await penstock_load("--rows", rows, "--rate", 20, "--duration", 0.2, "--retries", 1)
    assert shown.exit_code == 1
    assert "refused" in shown.output
    assert "0% of first retries were accepted" in shown.output


def test_remarks_name_a_client_that_was_too_slow():
    from dataclasses import replace

    from penstock.load.arrivals import Closed
    from penstock.load.report import summarise
    from penstock.load.runner import Results

    report = summarise(Results("guide", Closed(1), 0, 0, 1, ()))
    assert remarks(report) == []
    assert "too slow" in remarks(replace(report, late_s=0.5))[0]
