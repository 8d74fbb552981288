"""What is charged where an engine does not tell what a request has used whose client left."""

from test_gate import asked, endpoint, reading, sale
from world import World, event, replica

from penstock.domain.usage import UNTOLD, Usage
from penstock.gateway.call import Asked
from penstock.gateway.interrupt import Cut


async def test_where_an_engine_does_not_tell_what_a_request_used_that_is_guessed_by_its_time():
    world = World()
    world.engines.used = UNTOLD
    world.table.publish(endpoint(1, sale(), replica(1, running=32)))
    request = await world.ask(name="n1", read=lambda *_: Asked(False, "", 3996, False, 100))
    await world.clock.advance(1.5)
    request.interrupt.cut(Cut.GONE)
    await request.task
    record = world.record(request)
    assert record.usage == Usage(1000, 50, estimated=True), "1 s for the prompt, and 0.01 s for each token"
    assert abs(record.device_s - 1.5) < 1e-9
    assert reading(world).attained == record.reference_tokens > 0
    assert reading(world).prompts == 0, "nothing was learnt from it"
    short = await world.ask(name="n1", read=asked(size=10, out=5))
    await world.clock.advance(60)
    short.interrupt.cut(Cut.GONE)
    await short.task
    assert world.record(short).usage == Usage(10, 5, estimated=True), "never more than it may have"
    streamed = await world.ask(name="n1", streaming=True, read=asked(streaming=True))
    world.begin(streamed, events=True).feed(event(7))
    await world.clock.advance(60)
    streamed.interrupt.cut(Cut.GONE)
    await streamed.task
    assert world.record(streamed).usage == Usage(5, 7), "a stream tells it"
    waiting = await world.ask(name="n1", streaming=True, read=asked(streaming=True))
    await world.clock.advance(60)
    waiting.interrupt.cut(Cut.GONE)
    await waiting.task
    assert world.record(waiting).usage == Usage(1000, 0, estimated=True), "of a stream nothing came"
