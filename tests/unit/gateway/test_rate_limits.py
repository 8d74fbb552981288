"""Rate limits on the path of a request."""

import msgspec
import pytest
from world import DONE, STRANGER, USER, World, endpoint, event, replica

from penstock.domain.errors import InvalidParameter, LimitExceeded, PermissionDenied
from penstock.domain.rate_limit import LimitKey, RateLimit
from penstock.domain.rate_window import SLOT_S, WINDOW_S
from penstock.domain.usage import RequestOutcome, Usage
from penstock.gateway.interrupt import Cut
from penstock.gateway.limits import Held
from penstock.web.openai.requests import ChatRequest

CALLS = RateLimit(calls=2)
ANSWER = b'{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}'


@pytest.fixture
def world():
    return World()


def serve(world, *limits):
    world.table.publish(endpoint(replica(1, running=50, queue=50), limits=limits))


async def ask(world, **asked):
    given = {"size": 100, "counted": True, "most_out": 50} | asked
    return await world.ask(**given)


async def answer(world, request, prompt=100, completion=20):
    begun = world.begin(request)
    begun.feed(ANSWER % (prompt, completion))
    begun.finish()
    await world.settle()


async def test_an_endpoint_without_limits_has_no_headers_and_no_account(world):
    serve(world)
    request = await ask(world)
    await answer(world, request)
    assert request.client.status_code == 200
    assert request.client.limits == {}
    assert not world.limits._places


async def test_the_call_beyond_the_limit_is_told_what_when_and_why(world):
    serve(world, CALLS)
    for _ in range(2):
        await answer(world, await ask(world))
    await world.clock.advance(10)
    third = await ask(world)
    error = third.client.error
    assert isinstance(error, LimitExceeded)
    assert error.retry_after_s == 51  # the first call counts for 60 s, to the end of its slot
    assert error.facts | {"retry_after_s": ""} == {
        "key": "endpoint", "principal": "", "unit": "calls_per_minute", "limit": "2", "used": "2", "requested": "1",
        "retry_after_s": "",
    }  # fmt: skip
    assert "everybody may have 2 calls per minute of endpoint 'guide', of which 2 are used" in error.message
    assert world.record(third).outcome is RequestOutcome.REJECTED
    assert third.client.limits[b"x-ratelimit-remaining-requests"] == b"0"
    assert len(world.engines.sent) == 2
    await world.clock.advance(WINDOW_S - 10 + SLOT_S)
    await answer(world, await ask(world))
    assert len(world.engines.sent) == 3


async def test_tokens_are_reserved_before_and_settled_by_what_was_used(world):
    serve(world, RateLimit(tokens=1000))
    request = await ask(world)
    await answer(world, request)
    assert request.client.limits == {
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"850",
        b"x-ratelimit-reset-tokens": b"61s",
    }
    second = await ask(world)
    await answer(world, second)
    assert second.client.limits[b"x-ratelimit-remaining-tokens"] == b"730"


async def test_whoever_finds_no_room_waits_for_an_answer_that_uses_less(world):
    serve(world, RateLimit(tokens=200))
    first = await ask(world)
    second = await ask(world, size=20)
    assert not world.engines.waits(second.id)
    await answer(world, first)
    assert world.engines.waits(second.id)
    await answer(world, second, prompt=20)
    assert second.client.status_code == 200


async def test_what_does_not_fit_holds_up_nobody(world):
    serve(world, RateLimit(tokens=300))
    await ask(world)
    large = await ask(world, size=150)
    small = await ask(world)
    assert world.engines.waits(small.id)
    assert not large.task.done()
    await world.clock.advance(2.5)
    assert isinstance(large.client.error, LimitExceeded)


async def test_a_wait_that_cannot_help_is_not_begun(world):
    serve(world, RateLimit(tokens=200))
    await answer(world, await ask(world))
    second = await ask(world)
    assert isinstance(second.client.error, LimitExceeded)


async def test_a_wait_ends_when_time_has_made_room(world):
    serve(world, RateLimit(tokens=200))
    await answer(world, await ask(world))
    await world.clock.advance(59)
    second = await ask(world)
    assert not second.task.done()
    await world.clock.advance(1.5)
    assert world.engines.waits(second.id)


async def test_whoever_leaves_while_waiting_holds_nothing(world):
    serve(world, RateLimit(tokens=200))
    first = await ask(world)
    second = await ask(world)
    second.interrupt.cut(Cut.GONE)
    await world.settle()
    assert second.task.done()
    await answer(world, first)
    third = await ask(world, size=20)
    assert world.engines.waits(third.id)


async def test_a_limit_of_zero_is_a_refusal_for_good(world):
    serve(world, RateLimit(tokens=0))
    request = await ask(world)
    assert isinstance(request.client.error, PermissionDenied)
    assert "temporarily disabled due to a rate limit of 0 tokens per minute" in request.client.error.message


async def test_a_prompt_beyond_the_limit_is_an_error_and_not_a_wait(world):
    serve(world, RateLimit(tokens=100))
    request = await ask(world)
    assert isinstance(request.client.error, InvalidParameter)
    assert "limit of 100 tokens per minute" in request.client.error.message


async def test_users_have_limits_of_their_own(world):
    serve(world, RateLimit(LimitKey.USER, calls=1), RateLimit(LimitKey.USER, "cat@x.org", calls=2))
    await answer(world, await ask(world))
    assert isinstance((await ask(world)).client.error, LimitExceeded)
    other = STRANGER.principal.__class__("3", "cat@x.org", "Cat", USER.principal.kind, USER.principal.groups)
    cat = STRANGER.__class__(other, USER.scope, "v")
    for _ in range(2):
        await answer(world, await ask(world, caller=cat))
    assert isinstance((await ask(world, caller=cat)).client.error, LimitExceeded)


async def test_a_changed_limit_counts_for_the_next_request_and_for_those_that_wait(world):
    serve(world, RateLimit(tokens=200))
    await ask(world)
    second = await ask(world)
    assert not world.engines.waits(second.id)
    serve(world, RateLimit(tokens=400))
    await world.settle()
    assert world.engines.waits(second.id)
    serve(world, RateLimit(tokens=100, calls=5))
    third = await ask(world, size=10)
    await world.clock.advance(2)
    assert isinstance(third.client.error, LimitExceeded)
    serve(world)
    await answer(world, await ask(world))


async def test_a_stream_is_counted_while_it_comes(world):
    serve(world, RateLimit(tokens=400))
    request = await ask(world, streaming=True, most_out=200)
    begun = world.begin(request, events=True)
    for number in range(1, 61):
        begun.feed(event(number, prompt=100))
        await world.settle()
    assert _left(world) == 100
    await world.clock.advance(WINDOW_S + SLOT_S)
    left = _left(world)
    assert 140 < left <= 160  # what came a minute ago has aged, while the answer still comes
    begun.feed(event(61, prompt=100), DONE)
    begun.finish()
    await world.settle()
    left = _left(world)
    assert 280 <= left <= 300  # 161 were used, of which some 50 have aged


def _left(world):
    return int(dict(world.limits.headers("e1", USER.principal))[b"x-ratelimit-remaining-tokens"])


@pytest.mark.parametrize("told", [Usage(100, 7), None])
async def test_a_client_that_leaves_pays_for_what_was_computed(world, told):
    serve(world, RateLimit(tokens=400))
    world.engines.used = told
    request = await ask(world, streaming=True)
    begun = world.begin(request, events=True)
    for number in range(1, 6):
        begun.feed(event(number, prompt=100))
    await world.settle()
    request.interrupt.cut(Cut.GONE)
    await world.settle()
    left = _left(world)
    assert left == 400 - (107 if told else 105)


async def test_an_engine_that_breaks_off_without_a_word_is_estimated(world):
    serve(world, RateLimit(tokens=400))
    request = await ask(world)
    world.begin(request).break_off()
    await world.settle()
    world.table.publish(endpoint(replica(2, running=50), limits=(RateLimit(tokens=400),)))
    await world.settle()
    world.begin(request).break_off()
    await world.settle()
    world.table.publish(endpoint(replica(3, running=50), limits=(RateLimit(tokens=400),)))
    await world.settle()
    world.begin(request).break_off()
    await world.settle()
    assert world.record(request).outcome is RequestOutcome.FAILED
    left = _left(world)
    assert left == 300


async def test_what_never_reached_an_engine_costs_nothing(world):
    serve(world, RateLimit(calls=1, tokens=400))
    world.table.publish(endpoint(to_zero=True, stuck="no memory", limits=(RateLimit(calls=1, tokens=400),)))
    request = await ask(world)
    assert request.client.error is not None
    serve(world, RateLimit(calls=1, tokens=400))
    assert world.engines.waits((await ask(world)).id)


async def test_idle_accounts_are_forgotten(world):
    serve(world, RateLimit(LimitKey.USER, calls=5))
    await answer(world, await ask(world))
    await world.limits.step()
    assert len(world.limits._places["e1"].meter) == 1
    await world.clock.advance(WINDOW_S + 1)
    await world.limits.step()
    assert len(world.limits._places["e1"].meter) == 0
    serve(world)
    await world.limits.step()
    assert not world.limits._places


# ---- what the engine is told


async def test_an_answer_without_a_bound_gets_one_where_tokens_are_limited(world):
    serve(world, RateLimit(tokens=100_000))
    request = await ask(world, most_out=None)
    assert world.engines.sent[-1][2] == b'{,"max_tokens":1024}'  # of the world's own body, {}
    await answer(world, request)
    serve(world, CALLS)
    await ask(world, most_out=None)
    assert world.engines.sent[-1][2] == b"{}"


async def test_answers_without_a_bound_share_a_small_limit(world):
    serve(world, RateLimit(tokens=1000))
    first, second = await ask(world, most_out=None), await ask(world, most_out=None)
    assert world.engines.waits(first.id)
    assert world.engines.waits(second.id)
    assert [body for _, _, body, *_ in world.engines.sent] == [b'{,"max_tokens":250}'] * 2


async def test_an_answer_that_could_be_longer_than_the_limit_is_bounded_by_it(world):
    serve(world, RateLimit(tokens=400))
    await ask(world, most_out=1000, choices=2)
    assert world.engines.sent[-1][2].endswith(b'"max_tokens":150}')


@pytest.mark.parametrize("said", [b"", b',"max_tokens":null', b',"max_tokens":9000'])
def test_the_last_word_wins(said):
    body = b'{"messages":[{"role":"user","content":"x"}]' + said + b"} \n"
    held = Held(None, None, None, 1, 77)
    read = msgspec.json.decode(held.body(body), type=ChatRequest)
    assert read.max_tokens == 77


async def test_a_prompt_is_counted_by_characters_until_one_was_counted(world):
    serve(world, RateLimit(tokens=1000))
    request = await ask(world, counted=False)
    assert _left(world) == 1000 - (int(100 * 1.1) + 16) - 50
    await answer(world, request, prompt=25)
    assert _left(world) == 1000 - 45
