"""The commands of a person at a terminal: penstock batch and penstock load, against a real model on a real server."""

import json
import os
import subprocess
import time

import pytest
import requests

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
COMMAND = os.environ.get("PENSTOCK_COMMAND", "penstock")
PNG = b"\x89PNG"


def start(*arguments):
    words = [COMMAND, *map(str, arguments), "--url", URL, "--token", TOKEN]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments):
    """Exit status, standard output, standard error."""
    process = start(*arguments)
    out, error = process.communicate(timeout=300)
    return process.returncode, out, error


@pytest.fixture
def rows(tmp_path):
    """300 rows of a chat, two of which are wrong."""
    path = tmp_path / "rows.jsonl"
    bodies = [
        {"messages": [{"role": "user", "content": "word " * (1 + number % 40)}], "max_tokens": 30 + number % 10}
        for number in range(300)
    ]
    bodies[100]["max_tokens"] = -5
    bodies[200] = {"messages": []}
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    return path


def test_a_batch_that_was_killed_goes_on_and_ends_with_each_row_once(chat, rows, tmp_path):
    out = tmp_path / "answers.jsonl"
    first = start("batch", chat, rows, "--out", out)
    for _ in range(1800):
        if out.exists() and out.read_bytes().count(b"\n") >= 20:
            break
        time.sleep(0.05)
    first.kill()
    first.communicate()
    done = out.read_bytes().count(b"\n")
    assert 20 <= done < 300
    status, _, told = run("batch", chat, rows, "--out", out)
    assert status == 2, told
    assert f"{done} of 300 rows are done already." in " ".join(told.split())
    assert "298 rows were answered and 2 have errors" in " ".join(told.split())
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(1, 301))
    wrong = [line["row"] for line in lines if line["error"] or line["response"]["status_code"] != 200]
    assert wrong == [101, 201]
    assert all(line["response"]["body"]["usage"]["completion_tokens"] for line in lines if line["row"] not in wrong)


def test_an_estimate_says_how_long_and_keeps_what_it_tried(chat, rows, tmp_path):
    out = tmp_path / "answers.jsonl"
    status, _, told = run("batch", chat, rows, "--out", out, "--estimate")
    assert status == 0, told
    words = " ".join(told.split())
    assert "8 rows were answered to learn from" in words
    assert "With the device to themselves they take" in words
    assert out.read_bytes().count(b"\n") == 8


def test_a_closed_loop_is_written_with_its_knee_and_picture(completions, tmp_path):
    png, figures = tmp_path / "curve.png", tmp_path / "curve.json"
    status, shown, told = run(
        "load", completions, "--closed", "1,2", "--duration", 3, "--input-tokens", 60, "--output-tokens", 8,
        "--slo-ttft", 30, "--png", png, "--json", figures,
    )  # fmt: skip
    assert status == 0, told
    assert "Knee of the curve" in shown
    found = json.loads(figures.read_text())
    assert found["endpoint"] == completions
    assert found["knee"]["tokens_per_s"] > 0
    for one, parallel in zip(found["runs"], (1, 2), strict=True):
        assert (one["parallel"], one["kept"], one["outcomes"]["failed"]) == (parallel, 1, 0)
        assert one["ttft"]["p50"] <= one["latency"]["p50"]
        assert one["goodput"] > 0
        assert one["tpot"]["p50"] > 0
    assert png.read_bytes().startswith(PNG)


def test_an_open_loop_counts_goodput_at_a_service_level(completions, tmp_path):
    png, raw = tmp_path / "run.png", tmp_path / "rows.jsonl"
    status, out, told = run(
        "load", completions, "--rate", 4, "--duration", 4, "--input-tokens", 60, "--output-tokens", 8, "--seed", 3,
        "--slo-ttft", 30, "--slo-tpot", 1e-9, "--png", png, "--raw", raw, "--json", "-",
    )  # fmt: skip
    assert status == 0, told
    [one] = json.loads(out)["runs"]
    assert one["outcomes"]["done"] == one["requests"] > 4
    assert (one["goodput"], one["kept"]) == (0, 0), "nobody makes a token in a nanosecond"
    rows = [json.loads(line) for line in raw.read_text().splitlines()]
    assert {row["tokens_out"] for row in rows} == {8}
    # This tokenizer has a token for each letter, so ten words are not always as long.
    assert 45 <= sum(row["tokens_in"] for row in rows) / len(rows) <= 75
    assert png.read_bytes().startswith(PNG)


def test_embeddings_have_no_first_token_and_it_says_so(embeddings, tmp_path):
    png, figures = tmp_path / "curve.png", tmp_path / "curve.json"
    asked = ("--embeddings", "--input-tokens", 60, "--duration", 2, "--closed", "1,2", "--slo-latency", 30)
    status, shown, told = run("load", embeddings, *asked, "--png", png, "--json", figures)
    assert status == 0, told
    assert "time to first token and per token do not apply" in shown
    for one in json.loads(figures.read_text())["runs"]:
        assert (one["ttft"], one["tpot"], one["kept"]) == (None, None, 1)
        assert one["latency"]["p50"] > 0
    assert png.read_bytes().startswith(PNG)


def test_a_plan_is_made_of_the_profile_that_the_server_has(chat, tmp_path):
    answer = requests.get(
        f"{URL}/api/2.0/serving-endpoints/{chat}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
    )
    model = answer.json()["config"]["served_entities"][0]["entity_name"]
    mix = ("--rate", 2, "--duration", 60, "--input-tokens", 100, "--output-tokens", 20, "--max-replicas", 1)
    png = tmp_path / "plan.png"
    status, out, told = run("plan", *mix, "--model", f"{model}/1", "--ttft-p99", 20, "--png", png, "--json", "-")
    assert status == 0, told
    plan = json.loads(out)
    assert plan["target"]["kept"]
    assert plan["minimum"]["tokens_per_s"] <= plan["maximum"]["tokens_per_s"]
    assert plan["predicted"]["ttft_p99_s"] < 20
    assert png.read_bytes().startswith(PNG)
    status, _, told = run("plan", *mix, "--model", f"{model}/99")
    assert (status, "99" in told) == (1, True)


def test_a_wrong_route_or_name_is_said_before_anything_runs(chat, embeddings):
    small = ("--duration", 1, "--input-tokens", 60, "--output-tokens", 8)
    for name, words in ((embeddings, "llm/v1/embeddings"), ("no-such-endpoint", "ENDPOINT_NOT_FOUND")):
        status, out, told = run("load", name, *small)
        assert (status, out) == (1, "")
        assert words in told or name in told
