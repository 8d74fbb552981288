"""With which adapter an engine computes is its endpoint's choice."""

from dataclasses import replace

from world import endpoint, replica


async def test_the_engine_is_told_the_adapter_of_the_served_entity(world):
    plain = endpoint(replica(1))
    adapted = replace(plain, entities=(replace(plain.entities[0], adapter="main.default.legal/1"),))
    for route in (adapted, plain):
        world.table.publish(route)
        request = await world.ask()
        answer = world.begin(request)
        answer.feed(b'{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}')
        answer.finish()
        await request.task
    assert world.engines.adapters == ["main.default.legal/1", ""]
