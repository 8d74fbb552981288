"""A real server with a real engine: endpoints of one version are served by one process, each with what is its own."""

import asyncio

from stand import Stand
from storm import ENDPOINTS
from test_sleep_and_recovery import QUICK, ends_well, serve_tiny

ASK = {
    "messages": [{"role": "user", "content": "What is a chunk, and how many of them does a device sell? " * 4}],
    "max_tokens": 4,
    "temperature": 0,
}


async def ask(storm, name):
    """What an endpoint answers, and how much of the prompt it knew, whatever the client says of a namespace."""
    url = f"{storm.stand.url}/serving-endpoints/{name}/invocations"
    async with storm.stand.session.post(url, json=ASK, headers={"x-namespace": "mine"}) as answer:
        body = await answer.json()
        assert answer.status == 200, body
        usage = body["usage"]
        return body["choices"][0]["message"]["content"], usage["prompt_tokens_details"]["cached_tokens"]


async def delete_among_requests(storm):
    """One is deleted in the middle of its own requests and of the other's: all of them come to their end."""
    streams = storm.promises.streams
    running = [asyncio.create_task(storm.stream(name)) for name in ("one", "two") * 6]

    async def answered():
        return len(streams) == len(running) and all(seen.status for seen in streams)

    await storm.stand.until(answered, 20, "the first tokens")
    status, _ = await storm.call("DELETE", f"{ENDPOINTS}/one")
    assert status == 200
    await asyncio.gather(*running)
    assert {(seen.status, seen.ended) for seen in streams} == {(200, "done")}


async def test_two_endpoints_of_a_version_share_an_engine_until_the_last_one_goes(tmp_path):
    stand = Stand(tmp_path, **QUICK, HF_TOKEN="hf_of_the_server")
    try:
        storm = await serve_tiny(stand, "one")
        await storm.deploy("two", 1)
        assert (await storm.settled("two"))["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"}
        [engine] = stand.engines()
        variables = engine.environ()
        assert not [name for name in variables if name.endswith("_TOKEN") or name.startswith("PENSTOCK_")]
        assert "PATH" in variables
        logs = [await storm.call("GET", f"{ENDPOINTS}/{name}/served-models/tiny-1/logs") for name in ("one", "two")]
        assert logs[0] == logs[1]
        assert logs[0][0] == 200

        said, cached = await ask(storm, "one")
        assert cached == 0
        assert await ask(storm, "two") == (said, 0), "what another endpoint asked is not known"
        for name in ("one", "two"):
            again, cached = await ask(storm, name)
            assert again == said
            assert cached > 0

        await delete_among_requests(storm)

        async def removed():
            status, _ = await storm.call("POST", ENDPOINTS, {"name": "one"})
            return status == 200

        await stand.until(removed, 10, "the name to be free")
        for _ in range(4):
            await ends_well(storm, "two")
        assert [one.pid for one in stand.engines()] == [engine.pid]

        await storm.call("DELETE", f"{ENDPOINTS}/two")

        async def gone():
            return not stand.engines()

        await stand.until(gone, 30, "the engine to end")
        assert await stand.stop() == 0
        assert {row[0] for row in stand.ledger().values()} == {"completed"}
    finally:
        await stand.close()
