"""Batches through a server that is killed in the middle: every row ends exactly once, by the API and by the command."""

import asyncio
import json
import sys

import aiohttp
import pytest
from stand import TOKEN, Stand
from storm import serve_tiny

ROWS = 400
CHAT = "/v1/chat/completions"
QUICK = {"PENSTOCK_SERVING_PROFILE_BUDGET_S": "1", "PENSTOCK_BATCHES_WINDOW": "4"}


@pytest.fixture
async def stand(tmp_path):
    made = Stand(tmp_path, **QUICK)
    yield made
    await made.close()


def body(number):
    return {"messages": [{"role": "user", "content": f"number {number}"}], "max_tokens": 40 + number % 20}


async def created(stand):
    """A batch of ROWS rows to the endpoint `tiny`; returns its id."""
    lines = [
        {"custom_id": f"row {number}", "method": "POST", "url": CHAT, "body": {"model": "tiny", **body(number)}}
        for number in range(ROWS)
    ]
    form = aiohttp.FormData({"purpose": "batch"})
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    form.add_field("file", content, filename="rows.jsonl", content_type="application/jsonl")
    async with stand.session.post(f"{stand.url}/serving-endpoints/files", data=form) as answer:
        assert answer.status == 200, await answer.text()
        file = await answer.json()
    asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    async with stand.session.post(f"{stand.url}/serving-endpoints/batches", json=asked) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["id"]


async def get(stand, path):
    async with stand.session.get(f"{stand.url}/serving-endpoints/{path}") as answer:
        return await answer.json(content_type=None) if "content" not in path else await answer.text()


def written(folder):
    """Whole lines of answers in a folder's files, or in one file."""
    files = [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.read_bytes().count(b"\n") for path in files)


@pytest.mark.timeout(240)
async def test_a_batch_of_the_api_ends_with_each_row_once(stand):
    await serve_tiny(stand, "tiny")
    batch_id = await created(stand)
    journals = stand.data / "batches" / "journals"

    async def some_are_done():
        return written(journals) >= 30

    await stand.until(some_are_done, 60, "30 answers")
    await stand.kill()
    before = written(journals)
    assert 30 <= before < ROWS, "it was to be killed in the middle"
    await stand.start()

    async def has_ended():
        return (await get(stand, f"batches/{batch_id}"))["status"] == "completed"

    await stand.until(has_ended, 120, "the batch to end")
    batch = await get(stand, f"batches/{batch_id}")
    assert batch["request_counts"] == {"total": ROWS, "completed": ROWS, "failed": 0}
    assert batch["error_file_id"] is None
    text = await get(stand, f"files/{batch['output_file_id']}/content")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["custom_id"] for line in lines] == [f"row {number}" for number in range(ROWS)]
    assert {line["response"]["status_code"] for line in lines} == {200}
    assert await stand.stop() == 0
    completed = [row for row in stand.ledger().values() if row[0] == "completed"]
    # What was in the journal is not asked again: only rows on their way at the kill may have been computed twice.
    assert ROWS <= len(completed) <= ROWS + 4


@pytest.mark.timeout(240)
async def test_the_command_waits_for_a_killed_server_and_ends_with_each_row_once(stand, tmp_path):
    await serve_tiny(stand, "tiny")
    rows, out = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    rows.write_text("".join(json.dumps(body(number)) + "\n" for number in range(ROWS)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from penstock.cli.main import main; main()", "batch", "tiny", str(rows), "--out",
        str(out), "--url", stand.url, "--token", TOKEN, "--window", "4", stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:

        async def some_are_done():
            return out.exists() and written(out) >= 30

        await stand.until(some_are_done, 60, "30 answers")
        await stand.kill()
        assert written(out) < ROWS, "it was to be killed in the middle"
        await stand.start()
        _, told = await asyncio.wait_for(process.communicate(), 120)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, told.decode()
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(1, ROWS + 1))
    assert {line["response"]["status_code"] for line in lines} == {200}
