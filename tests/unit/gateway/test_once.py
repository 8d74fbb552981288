"""Whatever happens in whatever order, every request ends once, and nothing of it stays behind."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from world import DONE, World, endpoint, event, replica

from penstock.domain.usage import RequestOutcome
from penstock.gateway.interrupt import Cut

REQUESTS = 4
number = st.integers(0, REQUESTS - 1)
step = st.one_of(
    st.tuples(st.just("ask"), st.booleans()),
    st.tuples(st.sampled_from(["begin", "event", "half", "done", "end", "break", "refuse", "gone"]), number),
    st.tuples(st.sampled_from(["publish"]), st.integers(0, 3)),
    st.tuples(st.sampled_from(["withdraw", "dead", "alive", "sweep", "drain"]), st.just(0)),
    st.tuples(st.just("advance"), st.sampled_from([0.1, 5.0, 61.0, 600.0])),
)


class Play:
    """Applies steps; what a step cannot do now it does not do."""

    def __init__(self):
        self.world = World(most_waiting=2)
        self.requests = []
        self.answers = {}
        self.draining = []

    async def do(self, what, value):
        world = self.world
        if what == "ask":
            self.requests.append(await world.ask(streaming=value))
        elif what == "publish":
            world.table.publish(endpoint(*(replica(one, running=1) for one in range(value)), to_zero=value == 0))
        elif what == "withdraw":
            world.table.withdraw("e1")
        elif what in {"dead", "alive"}:
            world.engines.dead = {"unix:/r0"} if what == "dead" else set()
        elif what == "advance":
            await world.clock.advance(value)
        elif what == "sweep":
            await world.running.step()
        elif what == "drain":
            self.draining.append(asyncio.ensure_future(world.running.drain(3)))
        elif value < len(self.requests):
            self.one(what, self.requests[value])
        await world.settle()

    def one(self, what, request):
        engines, answer = self.world.engines, self.answers.get(request.id)
        if what == "gone":
            request.interrupt.cut(Cut.GONE)
        elif engines.waits(request.id):
            if what == "begin":
                self.answers[request.id] = engines.begin(request.id, events=True)
            elif what == "refuse":
                engines.refuse(request.id)
        elif answer is not None:
            parts = {"event": event(1), "half": event(2)[:9], "done": DONE}
            if what in parts:
                answer.feed(parts[what])
            elif what == "end":
                answer.finish()
            elif what == "break":
                answer.break_off()

    async def finish(self):
        """Everybody leaves; then the books are read."""
        world = self.world
        for request in self.requests:
            request.interrupt.cut(Cut.GONE)
        await world.settle()
        await asyncio.gather(*(request.task for request in self.requests), *self.draining)
        self.check_books()

    def check_books(self):
        world = self.world
        ended = [record.request_id for record in world.journal.records]
        began = [record.request_id for record in world.journal.began]
        assert len(set(ended)) == len(ended), "each ends once"
        assert len(set(began)) == len(began), "each is admitted once"
        assert set(began) <= set(ended), "what was admitted has ended"
        assert len(world.running) == 0
        assert all(world.rooms.in_flight(f"r{one}") == 0 for one in range(4))
        assert world.table.waiting("e1") == 0
        assert all(answer.closed for answer in self.answers.values())
        for record in world.journal.records:
            done = record.outcome is RequestOutcome.COMPLETED
            assert done == (record.status < 400)
        for request in self.requests:
            self.check_client(request, ended)

    def check_client(self, request, ended):
        client = request.client
        assert client.ends <= 1
        assert request.id in ended or client.error is not None
        completed = any(
            record.request_id == request.id and record.outcome is RequestOutcome.COMPLETED
            for record in self.world.journal.records
        )
        if client.body.endswith(DONE):
            assert completed, "who saw the end finds it in the ledger"


@settings(max_examples=150, deadline=None)
@given(st.lists(step, min_size=3, max_size=25))
def test_every_request_ends_exactly_once(steps):
    async def play():
        run = Play()
        await run.do("publish", 2)
        for what, value in steps:
            await run.do(what, value)
        await run.finish()

    asyncio.run(play())
