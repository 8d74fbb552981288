"""OpenAI's Files and Batch API over HTTP: forms, objects, pages, who sees what."""

import httpx
import pytest

from penstock.domain.errors import MalformedBody
from penstock.web.openai.multipart import read_form

FILES, BATCHES = "/serving-endpoints/files", "/serving-endpoints/batches"
LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}}'
NEW = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}


async def upload(client, content=LINE, name="rows.jsonl", purpose="batch", **fields):
    return await client.post(FILES, files={"file": (name, content)}, data={"purpose": purpose, **fields})


def after(seconds, anchor="created_at", field="expires_after"):
    """An object in a form, as OpenAI's client writes it."""
    return {f"{field}[anchor]": anchor, f"{field}[seconds]": str(seconds)}


async def test_a_file_is_kept_as_it_was_sent_until_it_is_deleted(user):
    made = (await upload(user, b"a\r\n--b\r\n" * 100, "../../etc/r\u00f6ws.jsonl")).json()
    assert (made["object"], made["bytes"], made["filename"]) == ("file", 800, "r\u00f6ws.jsonl")
    assert (made["purpose"], made["status"]) == ("batch", "processed")
    one = f"{FILES}/{made['id']}"
    assert (await user.get(one)).json() == made
    assert (await user.get(f"{one}/content")).content == b"a\r\n--b\r\n" * 100
    assert (await user.delete(one)).json() == {"id": made["id"], "object": "file", "deleted": True}
    assert (await user.get(f"{one}/content")).status_code == 404
    assert (await user.get(one)).status_code == 404


async def test_what_is_no_file_of_rows_is_refused_and_leaves_nothing(user, tmp_path):
    form = {"content-type": "multipart/form-data; boundary=x"}
    cases = [
        (await upload(user, b"x" * 10_001), "10000 bytes"),
        (await upload(user, b""), "empty"),
        (await upload(user, purpose="assistants"), "purpose"),
        (await user.post(FILES, data={"purpose": "batch"}, files={"other": ("a", b"b")}), "field 'file'"),
        (await user.post(FILES, json={"purpose": "batch"}), "multipart/form-data"),
        (
            await user.post(FILES, content=b"--x\r\n", headers=form),
            "breaks",
        ),
    ]
    for answer, words in cases:
        assert answer.status_code == 400, answer.text
        assert words in answer.json()["message"]
    assert [path.name for path in (tmp_path / "batches").rglob("*") if path.is_file()] == []


async def test_a_file_expires_when_it_was_asked_to_or_as_is_usual(user, clock, batches):
    usual = (await upload(user)).json()
    soon = (await upload(user, **after(3600))).json()
    now = clock.now_ms() // 1000
    assert (usual["expires_at"], soon["expires_at"]) == (now + 30 * 86_400, now + 3600)
    await clock.advance(3599)
    assert await batches.expire() == ""
    await clock.advance(1)
    assert await batches.expire() == "removed 1 expired files"
    assert (await user.get(f"{FILES}/{soon['id']}")).status_code == 404
    assert (await user.get(f"{FILES}/{usual['id']}/content")).content == LINE
    await clock.advance(30 * 86_400)
    assert await batches.expire() == "removed 1 expired files"
    assert (await user.get(FILES)).json()["data"] == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (after(3599), "expires_after[seconds] must be a whole number from 3600 to 2592000, but is '3599'"),
        (after(2_592_001), "expires_after[seconds]"),
        (after("9" * 5000), "expires_after[seconds]"),
        (after("1e4"), "expires_after[seconds]"),
        (after(3600, "now"), "expires_after[anchor] must be 'created_at', but is 'now'"),
        ({"expires_after[seconds]": "3600"}, "expires_after[anchor]"),
        ({"expires_after[anchor]": "created_at"}, "expires_after[seconds]"),
        ({"expires_after": "3600"}, "expires_after[anchor]"),
    ],
)
async def test_an_expiry_that_is_none_is_named_and_leaves_nothing(user, tmp_path, fields, named):
    answer = await upload(user, **fields)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert named in answer.json()["message"]
    assert [path for path in (tmp_path / "batches").rglob("*") if path.is_file()] == []


async def test_a_file_that_a_batch_works_on_stays(user, clock, batches):
    file_id = (await upload(user, **after(3600))).json()["id"]
    made = await user.post(BATCHES, json={**NEW, "input_file_id": file_id})
    assert made.status_code == 200
    await clock.advance(4000)
    assert await batches.expire() == ""
    assert (await user.get(f"{FILES}/{file_id}/content")).content == LINE


async def test_nobody_keeps_more_than_his_quota(user, admin, tmp_path):
    first = (await upload(user, b"x" * 10_000)).json()
    assert (await upload(user, b"x" * 10_000)).status_code == 200
    refused = await upload(user, b"x" * 5001)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "QUOTA_EXCEEDED")
    assert "more than the 25000 bytes that one may keep; yours take 20000" in refused.json()["message"]
    assert (await upload(user, b"x" * 5000)).status_code == 200
    assert (await upload(user, b"x")).json()["error_code"] == "QUOTA_EXCEEDED"
    assert len([path for path in (tmp_path / "batches").rglob("*") if path.is_file()]) == 3
    assert (await upload(admin, b"x" * 10_000)).status_code == 200
    await user.delete(f"{FILES}/{first['id']}")
    assert (await upload(user, b"x" * 9000)).status_code == 200


async def test_a_batch_is_told_in_openais_words_and_can_be_cancelled(user, clock):
    file_id = (await upload(user)).json()["id"]
    made = (await user.post(BATCHES, json={**NEW, "input_file_id": file_id, "metadata": {"a": "b"}})).json()
    now = clock.now_ms() // 1000
    assert made["status"] == "validating"
    assert made["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert (made["created_at"], made["expires_at"]) == (now, now + 86_400)
    assert (made["object"], made["metadata"], made["output_file_id"], made["errors"]) == (
        "batch",
        {"a": "b"},
        None,
        None,
    )
    one = f"{BATCHES}/{made['id']}"
    assert (await user.get(one)).json() == made
    assert (await user.delete(f"{FILES}/{file_id}")).json()["error_code"] == "RESOURCE_CONFLICT"
    cancelled = (await user.post(f"{one}/cancel")).json()
    assert (cancelled["status"], cancelled["cancelling_at"]) == ("cancelling", now)
    assert (await user.post(f"{one}/cancel")).json() == cancelled


async def test_what_is_wrong_with_a_batch_is_named(user):
    file_id = (await upload(user)).json()["id"]
    for change, field in (
        ({"endpoint": "/v1/responses"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"metadata": {"a": "b" * 513}}, "metadata"),
        ({"input_file_id": None}, "input_file_id"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "output_expires_after[seconds]"),
        ({"output_expires_after": {"anchor": "x", "seconds": 3600}}, "output_expires_after[anchor]"),
        ({"output_expires_after": {"seconds": 3600}}, "output_expires_after"),
    ):
        answer = await user.post(BATCHES, json={**NEW, "input_file_id": file_id, **change})
        assert (answer.status_code, field in answer.json()["message"]) == (400, True), answer.text
    answer = await user.post(BATCHES, json={**NEW, "input_file_id": "file-x"})
    assert answer.status_code == 404


async def test_pages_and_orders(user, clock):
    ids = []
    for _ in range(3):
        await clock.advance(1)
        ids.append((await upload(user)).json()["id"])
    first = (await user.get(FILES, params={"limit": 2})).json()
    assert ([one["id"] for one in first["data"]], first["has_more"]) == (ids[:0:-1], True)
    rest = (await user.get(FILES, params={"limit": 2, "after": first["last_id"]})).json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (ids[:1], False)
    upwards = (await user.get(FILES, params={"order": "asc", "purpose": "batch"})).json()
    assert [one["id"] for one in upwards["data"]] == ids
    assert (await user.get(FILES, params={"purpose": "batch_output"})).json()["data"] == []
    assert (await user.get(BATCHES)).json() == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
    }  # fmt: skip


async def test_only_its_creator_and_administrators_see_a_file_or_a_batch(user, admin, site):
    file_id = (await upload(admin)).json()["id"]
    batch_id = (await admin.post(BATCHES, json={**NEW, "input_file_id": file_id})).json()["id"]
    for answer in (
        await user.get(f"{FILES}/{file_id}"),
        await user.get(f"{FILES}/{file_id}/content"),
        await user.delete(f"{FILES}/{file_id}"),
        await user.get(f"{BATCHES}/{batch_id}"),
        await user.post(f"{BATCHES}/{batch_id}/cancel"),
        await user.post(BATCHES, json={**NEW, "input_file_id": file_id}),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert (await user.get(FILES)).json()["data"] == (await user.get(BATCHES)).json()["data"] == []
    mine = (await upload(user)).json()["id"]
    assert (await admin.get(f"{FILES}/{mine}")).status_code == 200
    headers = {"Authorization": "Bearer dapi-serving-token"}
    transport = httpx.ASGITransport(app=site)
    async with httpx.AsyncClient(transport=transport, base_url="http://penstock", headers=headers) as serving:
        assert (await serving.get(f"{FILES}/{mine}")).status_code == 200


async def test_an_endpoint_called_files_is_still_asked(user):
    for name in ("files", "batches"):
        answer = await user.post(f"/serving-endpoints/{name}/invocations", json={"messages": []})
        assert answer.json()["error_code"] == "ENDPOINT_NOT_FOUND"


CONTENT = b"one\r\n--x\r\n-two\r\n--"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_a_form_is_read_however_it_is_cut(size):
    body = (
        b'--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--xyz\r\ncontent-type: a/b\r\nContent-Disposition: form-data; name="file"; filename="a b.jsonl"\r\n\r\n'
        + CONTENT
        + b'\r\n--xyz\r\nContent-Disposition: form-data; name="late"\r\n\r\n\r\n--xyz--\r\n'
    )
    taken = []

    async def pieces(content):
        for start in range(0, len(content), size):
            yield content[start : start + size]

    async def take(content):
        taken.append(b"".join([chunk async for chunk in content]))

    form = await read_form('multipart/form-data; boundary="xyz"', pieces(body), take)
    assert (form.fields, form.filename, taken) == ({"purpose": "batch", "late": ""}, "a b.jsonl", [CONTENT])
    for end in range(0, len(body) - 6, 11):
        with pytest.raises(MalformedBody):
            await read_form("multipart/form-data; boundary=xyz", pieces(body[:end]), take)
