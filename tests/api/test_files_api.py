"""Files over HTTP: the Files API, signed addresses, ranges, and what must not get through."""

from urllib.parse import quote, urlsplit

import httpx
import pytest

FS = "/api/2.0/fs"
ROOT = "/Models/main/default/guide/1"
FILES = f"{FS}/files{ROOT}"
DIRECTORIES = f"{FS}/directories{ROOT}"
MLFLOW = "/api/2.0/mlflow/unity-catalog"


def error(answer, status, code):
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
    return answer.json()["message"]


@pytest.fixture
async def version(user):
    await user.post(f"{MLFLOW}/registered-models/create", json={"name": "main.default.guide"})
    await user.post(f"{MLFLOW}/model-versions/create", json={"name": "main.default.guide", "source": "x"})


async def finalize(user):
    answer = await user.post(f"{MLFLOW}/model-versions/finalize", json={"name": "main.default.guide", "version": "1"})
    assert answer.status_code == 200


async def signed(user, what, **body):
    answer = await user.post(f"{FS}/create-{what}", json={"path": f"{ROOT}/a", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def relative(url):
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == ("http", "penstock")
    return f"{parts.path}?{parts.query}"


@pytest.mark.usefixtures("version")
async def test_a_file_goes_up_and_down(user):
    path = quote("/model/ä b%+?#&.bin")
    assert (await user.put(FILES + path, params={"overwrite": "true"}, content=b"content")).status_code == 204
    got = await user.get(FILES + path)
    assert (got.status_code, got.content) == (200, b"content")
    assert got.headers["content-length"] == "7"
    assert got.headers["last-modified"].endswith("GMT")
    assert "content-encoding" not in got.headers
    head = await user.head(FILES + path)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "7", b"")
    again = await user.put(FILES + path, params={"overwrite": "false"}, content=b"x")
    error(again, 409, "RESOURCE_ALREADY_EXISTS")
    assert (await user.delete(FILES + path)).status_code == 204
    error(await user.get(FILES + path), 404, "NOT_FOUND")


@pytest.mark.usefixtures("version")
async def test_ranges_and_conditions(user):
    await user.put(f"{FILES}/a", content=b"0123456789")
    for asked, content, told in (
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
    ):
        got = await user.get(f"{FILES}/a", headers={"range": asked})
        assert (got.status_code, got.content, got.headers["content-range"]) == (206, content, told)
        assert got.headers["content-length"] == str(len(content))
    for ignored in ("bytes=1-2,4-5", "lines=1-2", "bytes=-", "bytes=a-b"):
        got = await user.get(f"{FILES}/a", headers={"range": ignored})
        assert (got.status_code, got.content) == (200, b"0123456789")
    for outside in ("bytes=10-", "bytes=5-4", "bytes=-0"):
        got = await user.get(f"{FILES}/a", headers={"range": outside})
        error(got, 416, "INVALID_PARAMETER_VALUE")
        assert got.headers["content-range"] == "bytes */10"
    stamp = got.headers["last-modified"]
    resumed = await user.get(f"{FILES}/a", headers={"range": "bytes=9-", "if-unmodified-since": stamp})
    assert (resumed.status_code, resumed.content) == (206, b"9")
    old = {"if-unmodified-since": "Thu, 01 Jan 1970 00:00:00 GMT"}
    error(await user.get(f"{FILES}/a", headers=old), 412, "INVALID_PARAMETER_VALUE")
    changed = await user.get(f"{FILES}/a", headers={"range": "bytes=9-", "if-range": old["if-unmodified-since"]})
    assert (changed.status_code, len(changed.content)) == (200, 10)


@pytest.mark.usefixtures("version")
async def test_directories_are_listed_in_pages(user):
    for name in ("b", "a/x", "c"):
        await user.put(f"{FILES}/{name}", content=b"12")
    answer = (await user.get(f"{DIRECTORIES}/")).json()
    assert [(entry["path"], entry["is_directory"], entry.get("file_size")) for entry in answer["contents"]] == [
        (f"{ROOT}/a", True, None), (f"{ROOT}/b", False, 2), (f"{ROOT}/c", False, 2),
    ]  # fmt: skip
    assert all(entry["last_modified"] > 0 for entry in answer["contents"])
    assert "next_page_token" not in answer
    first = (await user.get(DIRECTORIES, params={"page_size": 2})).json()
    assert [entry["name"] for entry in first["contents"]] == ["a", "b"]
    rest = (await user.get(DIRECTORIES, params={"page_token": first["next_page_token"]})).json()
    assert [entry["name"] for entry in rest["contents"]] == ["c"]
    for missing in ("b", "none", "a/x"):
        error(await user.get(f"{DIRECTORIES}/{missing}"), 404, "NOT_FOUND")
        assert (await user.head(f"{DIRECTORIES}/{missing}")).status_code == 404
    assert (await user.head(f"{DIRECTORIES}/a")).status_code == 200
    assert (await user.put(f"{DIRECTORIES}/d/e")).status_code == 204
    assert (await user.delete(f"{DIRECTORIES}/d/e")).status_code == 204
    error(await user.delete(f"{DIRECTORIES}/a"), 409, "RESOURCE_CONFLICT")


@pytest.mark.usefixtures("version")
async def test_signed_addresses_need_no_token_and_permit_one_thing(user, anonymous, clock):
    url = relative((await signed(user, "upload-url"))["url"])
    assert (await anonymous.put(url, content=b"content")).status_code == 200
    assert (await user.get(f"{FILES}/a")).content == b"content"
    error(await anonymous.get(url), 403, "PERMISSION_DENIED")
    error(await anonymous.put(url.replace("/a?", "/b?"), content=b"x"), 403, "PERMISSION_DENIED")
    error(await anonymous.put(f"{url}&session=s&part=1", content=b"x"), 403, "PERMISSION_DENIED")
    for download in (
        await user.post(f"{FS}/create-download-url", json={"path": f"{ROOT}/a"}),
        await user.post(
            f"{FS}/create-download-url", params={"path": f"{ROOT}/a", "expire_time": "2033-01-01T00:00:00Z"}
        ),
    ):
        address = relative(download.json()["url"])
        got = await anonymous.get(address, headers={"range": "bytes=1-2"})
        assert (got.status_code, got.content) == (206, b"on")
        assert (await anonymous.head(address)).headers["content-length"] == "7"
    error(await user.post(f"{FS}/create-download-url", json={"path": f"{ROOT}/none"}), 404, "NOT_FOUND")
    error(await user.post(f"{FS}/create-download-url"), 400, "MALFORMED_REQUEST")
    for time in ("1999-01-01T00:00:00Z", "soon"):
        answer = await user.post(f"{FS}/create-upload-url", json={"path": f"{ROOT}/a", "expire_time": time})
        assert "expire_time" in error(answer, 400, "INVALID_PARAMETER_VALUE")
    await clock.advance(61)
    error(await anonymous.put(url, content=b"x"), 403, "PERMISSION_DENIED")


@pytest.mark.usefixtures("version")
async def test_a_multipart_upload_through_signed_addresses(user, anonymous):
    begun = await user.post(f"{FILES}/a", params={"action": "initiate-upload", "overwrite": "true"})
    session = begun.json()["multipart_upload"]["session_token"]
    parts = []
    for number, content in ((2, b"b"), (1, b"a")):
        answer = await signed(user, "upload-part-urls", session_token=session, start_part_number=number, count=1)
        [part] = answer["upload_part_urls"]
        sent = await anonymous.put(relative(part["url"]), content=content)
        assert (sent.status_code, part["part_number"]) == (200, number)
        parts.insert(0, {"part_number": number, "etag": sent.headers["etag"]})
    query = {"action": "complete-upload", "upload_type": "multipart", "session_token": session}
    error(await user.post(f"{FILES}/a", params=query, json={"parts": parts[::-1]}), 400, "INVALID_PARAMETER_VALUE")
    error(await user.post(f"{FILES}/a", params=query, json={"parts": 5}), 400, "INVALID_PARAMETER_VALUE")
    for _ in range(2):
        assert (await user.post(f"{FILES}/a", params=query, json={"parts": parts})).status_code == 200
    assert (await user.get(f"{FILES}/a")).content == b"ab"
    error(await user.post(f"{FILES}/a", params={"action": "x"}), 400, "INVALID_PARAMETER_VALUE")


@pytest.mark.usefixtures("version")
async def test_an_upload_is_aborted_at_a_signed_address_or_with_the_token(user, anonymous):
    for direct in (True, False):
        begun = await user.post(f"{FILES}/a", params={"action": "initiate-upload"})
        session = begun.json()["multipart_upload"]["session_token"]
        query = {"session_token": session, "upload_type": "multipart", "part_number": 1}
        assert (await user.put(f"{FILES}/a", params=query, content=b"x")).headers["etag"]
        if direct:
            answer = await user.post(f"{FILES}/a", params={"action": "abort-upload", "session_token": session})
        else:
            abort = await signed(user, "abort-upload-url", session_token=session)
            answer = await anonymous.delete(relative(abort["abort_upload_url"]["url"]))
        assert answer.status_code == 200
        error(await user.put(f"{FILES}/a", params=query, content=b"x"), 409, "RESOURCE_CONFLICT")


@pytest.mark.usefixtures("version")
async def test_a_finalized_version_is_read_only(user):
    await user.put(f"{FILES}/a", content=b"1")
    await finalize(user)
    for answer in (
        await user.put(f"{FILES}/a", content=b"2"),
        await user.put(f"{FILES}/b", content=b"2"),
        await user.delete(f"{FILES}/a"),
        await user.put(f"{DIRECTORIES}/d"),
        await user.post(f"{FILES}/a", params={"action": "initiate-upload"}),
        await user.post(f"{FS}/create-upload-url", json={"path": f"{ROOT}/a"}),
    ):
        assert "finalized" in error(answer, 409, "RESOURCE_CONFLICT")
    assert (await user.get(f"{FILES}/a")).content == b"1"


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize("path", ["/%2e%2e/x", "/a%2F..%2Fb", "/a/%00", "/%FF", "//a", "/a/%2e/b", "/" + "x" * 256])
async def test_unsafe_paths_do_not_get_through(user, path):
    for method in ("PUT", "GET", "DELETE"):
        url = httpx.URL("http://penstock").copy_with(raw_path=(FILES + path).encode())
        answer = await user.request(method, url, content=b"x")
        assert "path must" in error(answer, 400, "INVALID_PARAMETER_VALUE") or "segment" in answer.text
    answer = await user.post(f"{FS}/create-upload-url", json={"path": f"{ROOT}/../2/x"})
    error(answer, 400, "INVALID_PARAMETER_VALUE")


@pytest.mark.usefixtures("version")
async def test_uploads_have_a_limit(user):
    async def pieces():
        for _ in range(3):
            yield b"x" * 400_000

    assert "1000000 bytes" in error(await user.put(f"{FILES}/a", content=pieces()), 400, "BAD_REQUEST")
    error(await user.get(f"{FILES}/a"), 404, "NOT_FOUND")
