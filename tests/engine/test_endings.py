"""How requests end: cancelled, hung up, refused, drained, failed. Every one of them, and no step too late."""

import asyncio
import json

import pytest
from engine_fakes import FakeDecoder
from engine_http import ASK, CHAT, NO_END, post, until


async def test_delete_ends_a_request_and_tells_what_it_has_used(open_text):
    decoder = FakeDecoder(vocab_size=400, never=NO_END)
    decoder.pace()
    async with open_text(decoder, prefill_chunk=4) as client:
        asked = asyncio.create_task(post(client, ASK | {"max_tokens": 100}, status=499, **{"x-request-id": "r1"}))
        decoder.permits.release(10)
        await until(lambda: decoder.entered == 11)
        deleted = asyncio.create_task(client.delete("/v1/requests/r1"))
        await until(lambda: client.made._service.loop._unwanted)
        decoder.permits.release()
        found = await (await deleted).json()
        assert (await asked)["error_code"] == "CANCELLED"
        assert found["found"] is True
        usage = found["usage"]
        assert usage["completion_tokens"] >= 1
        assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
        assert client.made._service.loop.running == 0
        again = await (await client.delete("/v1/requests/r1")).json()
        assert again == found
        unknown = await (await client.delete("/v1/requests/r2")).json()
        assert (unknown["found"], unknown["usage"]["total_tokens"]) == (False, 0)


async def test_delete_in_mid_prompt_counts_the_part_that_was_read(open_text):
    decoder = FakeDecoder(vocab_size=400, never=NO_END)
    decoder.pace()
    async with open_text(decoder, prefill_chunk=4) as client:
        body = ASK | {"messages": [{"role": "user", "content": "Tokens per second are what a penstock feeds"}]}
        asked = asyncio.create_task(post(client, body, status=499, **{"x-request-id": "r1"}))
        decoder.permits.release(1)
        await until(lambda: decoder.entered == 2)
        deleted = asyncio.create_task(client.delete("/v1/requests/r1"))
        await until(lambda: client.made._service.loop._unwanted)
        decoder.permits.release()
        usage = (await (await deleted).json())["usage"]
        await asked
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (8, 0)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_hangs_up_is_cancelled_within_a_step(open_text, stream):
    decoder = FakeDecoder(vocab_size=400, never=NO_END)
    decoder.pace()
    async with open_text(decoder) as client:
        loop = client.made._service.loop
        body = ASK | {"max_tokens": 100, "stream": stream}
        asked = asyncio.create_task(client.post(CHAT, json=body, headers={"x-request-id": "r1"}))
        decoder.permits.release(3)
        await until(lambda: decoder.entered == 4)
        if stream:
            (await asked).close()
        else:
            asked.cancel()
        await until(lambda: loop._unwanted)
        steps = decoder.steps
        decoder.permits.release()
        assert await client.made._requests.idle(20)
        assert decoder.steps <= steps + 1
        await until(lambda: loop.running == 0)
        deleted = await (await client.delete("/v1/requests/r1")).json()
        assert deleted["found"] is True
        assert deleted["usage"]["completion_tokens"] == 4
        async with client.get("/metrics") as response:
            assert 'requests_total{outcome="cancelled"} 1.0' in await response.text()


async def test_a_full_queue_is_a_429_with_retry_after(open_text):
    decoder = FakeDecoder(vocab_size=400, never=NO_END)
    decoder.pace()
    async with open_text(decoder, max_running=1, max_queue=1) as client:
        asked = [asyncio.create_task(post(client, ASK)) for _ in range(2)]
        await until(lambda: client.made._service.loop.running + client.made._service.loop.waiting == 2)
        async with client.post(CHAT, json=ASK) as response:
            assert response.status == 429
            assert int(response.headers["Retry-After"]) >= 1
            assert (await response.json())["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        decoder.permits.release(100)
        first, second = await asyncio.gather(*asked)
        assert first["choices"] == second["choices"]


async def test_draining_finishes_what_runs_and_refuses_what_is_new(open_text):
    decoder = FakeDecoder(vocab_size=400, never=NO_END)
    decoder.pace()
    async with open_text(decoder) as client:
        asked = asyncio.create_task(post(client, ASK))
        await until(lambda: client.made._service.loop.running)
        drained = asyncio.create_task(client.made.drain(20))
        await until(lambda: client.made._draining)
        assert (await post(client, ASK, status=503))["error_code"] == "TEMPORARILY_UNAVAILABLE"
        decoder.permits.release(100)
        assert (await asked)["usage"]["completion_tokens"] == 12
        assert await drained is True


async def test_draining_ends_in_time(open_text):
    decoder = FakeDecoder(vocab_size=400, never=NO_END)
    decoder.pace()
    async with open_text(decoder) as client:
        asked = asyncio.create_task(post(client, ASK, status=499))
        await until(lambda: client.made._service.loop.running)
        assert await client.made.drain(0.01) is False
        decoder.permits.release(100)
        await asked


async def test_a_failing_model_is_a_500_before_and_an_error_event_in_a_stream(open_text):
    decoder = FakeDecoder(vocab_size=400, never=NO_END)
    async with open_text(decoder) as client:
        decoder.fail = 1
        assert (await post(client, ASK, status=500))["error_code"] == "INTERNAL_ERROR"
        decoder.pace()
        asked = asyncio.create_task(client.post(CHAT, json=ASK | {"stream": True}))
        decoder.permits.release(3)
        await until(lambda: decoder.entered == 5)
        decoder.fail = 1
        decoder.permits.release()
        raw = await (await asked).read()
        last = json.loads(raw.decode().strip().split("\n\n")[-1][6:])
        assert last["error"]["code"] == last["error_code"] == "INTERNAL_ERROR"
        assert last["usage"]["completion_tokens"] == 3
        decoder.permits.release(100)
        assert (await post(client, ASK))["usage"]["completion_tokens"] == 12
