"""The command as a process of its own, before a server on the loopback: killed, run again, asked for an estimate."""

import asyncio
import json
import re
import sys

import pytest
from aiohttp import web

COST = {"c": 0.0, "a": 0.01, "e": 0.0, "b": 0.1, "d": 0.0}
TERMS = {"knee": 4, "fixed_s": 0, "max_running": 32, "kv_tokens": 9999, "input_tokens": 2048, "output_tokens": 256}


class Endpoint:
    """Answers a prompt with its own words and counts them as tokens; knows what it costs."""

    def __init__(self):
        self.asked = []
        self.delay_s = 0.0
        self.token = "secret"
        self.many = asyncio.Event()
        self.priorities = set()
        self.used = 0.25

    async def invoke(self, request):
        body = await request.json()
        self.priorities.add(request.headers["x-penstock-priority"])
        await asyncio.sleep(self.delay_s)
        if request.headers["Authorization"] != f"Bearer {self.token}":
            return web.json_response(
                {"error_code": "PERMISSION_DENIED", "message": "Invalid access token."}, status=403
            )
        self.asked.append(body["prompt"])
        if len(self.asked) >= 50:
            self.many.set()
        if body["prompt"] == "bad":
            return web.json_response({"error_code": "BAD_REQUEST", "message": "it is bad"}, status=400)
        used = {"prompt_tokens": len(body["prompt"]), "completion_tokens": 4}
        return web.json_response({"text": body["prompt"], "usage": used}, headers={"x-request-id": "r"})

    async def throughput(self, _request):
        entity = {"cost": COST, "throughput": 100, "terms": TERMS, "device_used": self.used}
        return web.json_response({"name": "guide", "served_entities": [entity]})


@pytest.fixture
async def served():
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_post("/serving-endpoints/guide/invocations", endpoint.invoke)
    app.router.add_get("/api/2.0/serving-endpoints/guide/throughput", endpoint.throughput)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield endpoint
    await runner.cleanup()


async def start(endpoint, folder, *options, token="secret"):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from penstock.cli.main import main; main()",
        "batch", "guide", str(folder / "rows.jsonl"), "--out", str(folder / "out.jsonl"), "--url", endpoint.url,
        "--token", token, *options, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def run(endpoint, folder, *options, **how):
    process = await start(endpoint, folder, *options, **how)
    _, told = await process.communicate()
    return process.returncode, told.decode()


def texts(folder):
    lines = (folder / "out.jsonl").read_text().splitlines()
    return [json.loads(line)["response"]["body"].get("text") for line in lines]


async def test_killed_in_the_middle_it_goes_on_with_no_row_lost_or_doubled(served, tmp_path):
    rows = [f"row {number}" for number in range(300)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"prompt": row}) + "\n" for row in rows))
    served.delay_s = 0.02
    process = await start(served, tmp_path, "--window", "4")
    await asyncio.wait_for(served.many.wait(), 30)
    process.kill()
    await process.communicate()
    done = (tmp_path / "out.jsonl").read_bytes().count(b"\n")
    assert done >= 40
    served.delay_s = 0.0
    served.asked.clear()
    served.token = "again"  # what the dead process sent and nobody has read yet does not count
    status, told = await run(served, tmp_path, "--window", "4", token="again")
    assert status == 0, told
    assert f"{done} of 300 rows are done already." in told
    assert "300 rows were answered and 0 have errors" in told
    assert len(served.asked) == 300 - done
    assert texts(tmp_path) == rows
    assert served.priorities == {"batch"}


async def test_errors_are_told_by_reason_and_can_be_tried_again(served, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\n{"prompt": "bad"}\n{"prompt": "bad"}\nno\n')
    status, told = await run(served, tmp_path)
    assert status == 2
    assert "1 rows were answered and 3 have errors" in told
    assert "2 x 400: it is bad (line 2 and others)" in told
    assert "1 x is not JSON" in told
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\n{"prompt": "bad"}\n')
    served.asked.clear()
    assert (await run(served, tmp_path))[0] == 2
    assert served.asked == []
    assert (await run(served, tmp_path, "--retry-errors"))[0] == 2
    assert served.asked == ["bad"]


async def test_the_estimate_answers_a_few_rows_and_applies_the_cost(served, tmp_path):
    rows = ["x" * (10 + number) for number in range(108)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"prompt": r, "max_tokens": 50}) + "\n" for r in rows))
    status, told = await run(served, tmp_path, "--estimate", "--window", "1")
    assert status == 0, told
    assert len(served.asked) == 8
    expected = sum(0.01 * len(row) + 0.1 * 4 for row in rows if row not in served.asked)
    found = re.search(r"to themselves they take .* \(([\d.]+) s\)", told)
    assert float(found[1]) == pytest.approx(expected, rel=0.02)
    beside = re.search(
        r"use 25% of the device: if that goes on, the rows take .* \(([\d.]+) s\)", " ".join(told.split())
    )
    assert float(beside[1]) == pytest.approx(expected / 0.75, rel=0.02)
    served.used = 1.0
    told = (await run(served, tmp_path, "--estimate"))[1]
    assert "waits until they leave something" in " ".join(told.split())
    status, told = await run(served, tmp_path)
    assert (status, len(served.asked), texts(tmp_path)) == (0, 108, rows)


async def test_a_wrong_token_stops_it_with_the_servers_words(served, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\n')
    status, told = await run(served, tmp_path, token="wrong")
    assert status == 1
    assert "Invalid access token." in told
