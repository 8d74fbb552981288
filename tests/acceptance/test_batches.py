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
    for _ in range(1800):
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


def lines_of(client, *file_ids):
    """The lines of these files, by custom_id: none may be there twice."""
    lines = [json.loads(text) for one in file_ids if one for text in client.files.content(one).text.splitlines()]
    found = {line["custom_id"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def test_a_real_model_answers_each_row_once_and_errors_stay_with_their_rows(client, chat):
    rows = [
        {**row(number), "body": {"model": chat, "messages": [{"role": "user", "content": "word " * (1 + number)}],
                                 "max_tokens": 1 + number % 12, "temperature": 0}}
        for number in range(60)
    ]  # fmt: skip
    rows[7]["body"]["max_tokens"] = -1
    rows[20]["body"]["messages"] = []
    made = client.batches.create(input_file_id=upload(client, rows).id, endpoint=CHAT, completion_window="24h")
    batch = ended(client, made.id)
    assert batch.status == "completed", batch
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (60, 58, 2)
    answers, errors = lines_of(client, batch.output_file_id), lines_of(client, batch.error_file_id)
    assert list(answers) == [f"row {number}" for number in range(60) if number not in {7, 20}]
    assert list(errors) == ["row 7", "row 20"]
    assert {line["response"]["status_code"] for line in errors.values()} == {400}
    for number in range(60):
        if (line := answers.get(f"row {number}")) is not None:
            body = line["response"]["body"]
            assert 1 <= body["usage"]["completion_tokens"] <= 1 + number % 12
            alone = client.chat.completions.create(**rows[number]["body"]) if number % 10 == 0 else None
            assert alone is None or alone.usage.prompt_tokens == body["usage"]["prompt_tokens"]


def test_embeddings_are_rows_too(client, embeddings):
    rows = [
        {"custom_id": str(number), "method": "POST", "url": "/v1/embeddings",
         "body": {"model": embeddings, "input": "water " * (1 + number)}}
        for number in range(30)
    ]  # fmt: skip
    file = upload(client, rows)
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
    batch = ended(client, made.id)
    assert (batch.status, batch.request_counts.completed) == ("completed", 30)
    for line in lines_of(client, batch.output_file_id).values():
        assert len(line["response"]["body"]["data"][0]["embedding"]) == 64


def test_a_cancelled_batch_keeps_its_answers_and_says_so_of_the_others(client, chat):
    body = {"model": chat, "messages": [{"role": "user", "content": "on and on"}], "max_tokens": 300}
    rows = [{**row(number), "body": body} for number in range(2000)]
    made = client.batches.create(input_file_id=upload(client, rows).id, endpoint=CHAT, completion_window="24h")
    for _ in range(1800):
        if client.batches.retrieve(made.id).request_counts.completed:
            break
        time.sleep(0.1)
    assert client.batches.cancel(made.id).status in {"cancelling", "cancelled"}
    batch = ended(client, made.id)
    assert batch.status == "cancelled"
    answers, errors = lines_of(client, batch.output_file_id), lines_of(client, batch.error_file_id)
    assert 0 < len(answers) < 2000
    assert sorted([*answers, *errors]) == sorted(f"row {number}" for number in range(2000))
    assert {line["error"]["code"] for line in errors.values() if line["error"]} == {"batch_cancelled"}
