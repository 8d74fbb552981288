"""OpenAI's Files and Batch API with its unmodified client."""

import json
import os
import time

import openai
import pytest

URL = os.environ["PENSTOCK_URL"]
TOKEN = os.environ["PENSTOCK_TOKEN"]
CHAT = "/v1/chat/completions"


@pytest.fixture
def client():
    return openai.OpenAI(base_url=f"{URL}/serving-endpoints", api_key=TOKEN)


def upload(client, lines):
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return client.files.create(file=("rows.jsonl", content), purpose="batch")


def row(number):
    body = {"model": "no-such-endpoint", "messages": [{"role": "user", "content": "hello"}]}
    return {"custom_id": f"row {number}", "method": "POST", "url": CHAT, "body": body}


def ended(client, batch_id):
    for _ in range(300):
        batch = client.batches.retrieve(batch_id)
        if batch.status in {"completed", "failed", "cancelled", "expired"}:
            return batch
        time.sleep(0.1)
    raise AssertionError(batch)


def test_files_come_and_go(client):
    file = upload(client, [row(1)])
    assert (file.object, file.purpose, file.filename) == ("file", "batch", "rows.jsonl")
    assert client.files.retrieve(file.id) == file
    assert file.id in {one.id for one in client.files.list(purpose="batch", limit=1)}
    assert json.loads(client.files.content(file.id).text) == row(1)
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_a_batch_runs_to_its_end_and_each_row_has_its_line(client):
    rows = upload(client, [row(number) for number in range(30)])
    made = client.batches.create(
        input_file_id=rows.id, endpoint=CHAT, completion_window="24h", metadata={"why": "a test"}
    )
    batch = ended(client, made.id)
    assert (batch.status, batch.metadata, batch.output_file_id) == ("completed", {"why": "a test"}, None)
    assert (batch.request_counts.total, batch.request_counts.failed) == (30, 30)
    lines = [json.loads(line) for line in client.files.content(batch.error_file_id).text.splitlines()]
    assert [line["custom_id"] for line in lines] == [f"row {number}" for number in range(30)]
    assert {line["response"]["status_code"] for line in lines} == {404}
    assert {line["response"]["body"]["error_code"] for line in lines} == {"ENDPOINT_NOT_FOUND"}
    assert made.id in {one.id for one in client.batches.list(limit=1)}


def test_a_wrong_file_fails_the_batch_with_its_line(client):
    rows = upload(client, [row(1), {**row(2), "method": "GET"}])
    batch = ended(client, client.batches.create(input_file_id=rows.id, endpoint=CHAT, completion_window="24h").id)
    assert batch.status == "failed"
    assert [(problem.line, problem.code) for problem in batch.errors.data] == [(2, "invalid_line")]
    with pytest.raises(openai.ConflictError):
        client.with_options(max_retries=0).batches.cancel(batch.id)
