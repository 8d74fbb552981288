"""The peer of the guarantee's benchmark: buckets of tokens per minute, before a server that speaks as engines do."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from guarantee.buckets import Bucket, Gateway, Lane


def test_a_prompt_counts_at_once_and_an_answer_when_it_has_ended():
    bucket = Bucket(100, began=0)
    assert bucket.take(60, 1) == 0
    bucket.spend(30, 2)
    assert bucket.take(11, 10) == 50
    assert bucket.take(10, 10) == 0


def test_a_new_minute_has_all_tokens_again_and_none_of_the_last_one():
    bucket = Bucket(100, began=5)
    assert bucket.take(100, 5) == 0
    assert bucket.take(1, 64) == pytest.approx(1)
    assert bucket.take(100, 65) == 0
    assert bucket.take(100, 185) == 0


def test_an_answer_counts_in_the_minute_in_which_it_ends():
    bucket = Bucket(100, began=0)
    bucket.take(50, 59)
    bucket.spend(80, 61)
    assert bucket.take(21, 62) > 0
    assert bucket.take(20, 62) == 0


@asynccontextmanager
async def served(app, path):
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.UnixSite(runner, str(path)).start()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
            yield session
    finally:
        await runner.cleanup()


def engine(left):
    async def completions(request):
        told = await request.json()
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        try:
            await stream.write(b'data: {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}\n\n')
            if told["max_tokens"] > 100:
                await asyncio.Event().wait()
            await stream.write(b'data: {"usage": {"prompt_tokens": 3, "completion_tokens": 7}}\n\ndata: [DONE]\n\n')
        except asyncio.CancelledError:
            left.set()
            raise
        return stream

    app = web.Application()
    app.router.add_post("/v1/completions", completions)
    return app


@asynccontextmanager
async def gateway(tmp_path, bucket):
    left = asyncio.Event()
    app = web.Application()
    async with served(engine(left), tmp_path / "e") as behind:
        app.router.add_post("/v1/completions", Gateway({"own": Lane(bucket, behind)}).completions)
        async with served(app, tmp_path / "g") as session:
            yield session, left


BODY = {"model": "own", "prompt": [5, 6, 7], "max_tokens": 10}


async def test_what_is_let_in_is_relayed_and_counted_and_more_is_refused(tmp_path):
    bucket = Bucket(12, began=0)
    bucket._turn = lambda _: None  # one endless minute: the clock of the machine does not matter
    async with gateway(tmp_path, bucket) as (session, _):
        async with session.post("http://g/v1/completions", json=BODY) as answer:
            assert answer.status == 200
            assert (await answer.read()).endswith(b"[DONE]\n\n")
        async with session.post("http://g/v1/completions", json=BODY) as answer:
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) >= 1 or bucket._minute == 0
            assert "12 tokens per minute" in (await answer.json())["error"]["message"]


async def test_a_caller_that_hangs_up_frees_its_place_in_the_engine(tmp_path):
    async with gateway(tmp_path, Bucket(1e9, began=0)) as (session, left):
        answer = await session.post("http://g/v1/completions", json={**BODY, "max_tokens": 1000})
        await answer.content.readany()
        answer.close()
        await asyncio.wait_for(left.wait(), 60)
