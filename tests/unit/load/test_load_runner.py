import asyncio

import pytest

from penstock.domain.errors import InvalidParameter, InvalidRequest, Temporary
from penstock.load.arrivals import Closed, Replay, constant
from penstock.load.prompts import Ids, Words
from penstock.load.row import Outcome
from penstock.load.runner import Retry, calibrate, run
from penstock.load.target import Route, Target
from penstock.load.workload import Ask, Workload, uniform

WORDS = Words(2, 1)


async def test_a_closed_loop_keeps_so_many_requests_under_way(endpoint):
    results = await run(endpoint.target, uniform(41, 4), Closed(3), 0.2)
    assert endpoint.most_running == 3
    assert {row.outcome for row in results.rows} == {Outcome.DONE}
    assert {(row.tokens_in, row.tokens_out) for row in results.rows} == {(41, 4)}
    for row in results.rows:
        assert row.sent_at < row.first_at < row.ended_at
        assert row.tpot_s == pytest.approx((row.ended_at - row.first_at) / 3)
    assert len({body["prompt"] for _, body in endpoint.bodies}) == len(endpoint.bodies)


async def test_words_are_counted_by_the_endpoints_own_usage(endpoint):
    words = await calibrate(endpoint.target, 400)
    assert (words.per_word, words.overhead) == (pytest.approx(2), pytest.approx(1))
    assert max(endpoint.tokens(body) for _, body in endpoint.bodies) < 400  # it must fit where 400 do


async def test_an_open_loop_sends_at_its_times_whether_answers_came_or_not(endpoint):
    endpoint.gap_s = 0.2
    results = await run(endpoint.target, uniform(5, 1), Replay((0, 0.02, 0.04, 9)), 0.1, prompts=WORDS)
    assert endpoint.most_running == 3
    assert [row.due_at for row in results.rows] == [0, 0.02, 0.04]
    assert all(row.served and row.sent_at >= row.due_at for row in results.rows)


async def test_a_refusal_is_retried_after_the_time_told(endpoint):
    endpoint.refuse, endpoint.retry_after = 1, "0.1"
    arrivals = Replay((0,))
    first, second = (await run(endpoint.target, uniform(5, 1), arrivals, 0.5, prompts=WORDS, retry=Retry(2))).rows
    assert (first.outcome, first.status, first.retry_after) == (Outcome.REFUSED, 429, 0.1)
    assert first.message == "too much"
    assert (first.tokens_in, first.asked_in, first.asked_out) == (0, 5, 1)
    assert (second.number, second.attempt, second.served) == (0, 1, True)
    assert second.sent_at - first.ended_at >= 0.09


async def test_a_refusal_without_retry_stays_one(endpoint):
    endpoint.refuse = 1
    results = await run(endpoint.target, uniform(5, 1), Replay((0,)), 0.05, prompts=WORDS)
    assert [row.outcome for row in results.rows] == [Outcome.REFUSED]


async def test_what_is_under_way_at_the_end_is_cut_and_told(endpoint):
    endpoint.gap_s = 0.05
    results = await run(endpoint.target, uniform(5, 100), Closed(2), 0.3, prompts=WORDS, drain_s=0)
    assert [row.outcome for row in results.rows] == [Outcome.CUT] * 2
    assert all(0 < row.tokens_out < 100 for row in results.rows)


async def test_a_cancelled_run_leaves_no_request_behind(endpoint):
    endpoint.gap_s = 0.05
    before = asyncio.all_tasks()
    rows = []
    task = asyncio.create_task(run(endpoint.target, uniform(5, 100), Closed(2), 9, prompts=WORDS, seen=rows.append))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [row.outcome for row in rows] == [Outcome.CUT] * 2
    async with asyncio.timeout(2):
        while endpoint.running:  # noqa: ASYNC110 - the server's side of it has no event
            await asyncio.sleep(0.01)
    assert not [one for one in asyncio.all_tasks() - before if "_Load" in str(one)]


async def test_a_caller_who_asked_for_more_hangs_up_with_what_it_wanted(endpoint):
    workload = Workload((Ask(5, 3, max_tokens=4000),))
    (row,) = (await run(endpoint.target, workload, Replay((0,)), 0.1, prompts=WORDS)).rows
    assert row.outcome is Outcome.LEFT
    assert 3 <= row.tokens_out < 50
    assert endpoint.bodies[-1][1]["max_tokens"] == 4000


async def test_a_broken_stream_is_a_failure_with_what_was_used(endpoint):
    endpoint.break_after = 2
    (row,) = (await run(endpoint.target, uniform(5, 9), Replay((0,)), 0.1, prompts=WORDS)).rows
    assert (row.outcome, row.message, row.tokens_in, row.tokens_out) == (Outcome.FAILED, "the engine died", 9, 2)


async def test_an_endpoint_without_usage_has_its_events_counted(endpoint):
    endpoint.usage = False
    (row,) = (await run(endpoint.target, uniform(5, 9), Replay((0,)), 0.1, prompts=WORDS)).rows
    assert row.served
    assert 9 <= row.tokens_out <= 10


async def test_chunks_are_kept_on_demand(endpoint):
    (row,) = (await run(endpoint.target, uniform(5, 4), Replay((0,)), 0.1, prompts=WORDS, chunks=True)).rows
    assert row.chunks[-1][1] == 4
    assert list(row.chunks) == sorted(row.chunks)


async def test_token_ids_give_exact_lengths(endpoint):
    (row,) = (await run(endpoint.target, uniform(123, 1), Replay((0,)), 0.1, prompts=Ids(5, 99))).rows
    assert row.tokens_in == 123


async def test_chat_goes_to_its_route(endpoint):
    target = Target(endpoint.url, "guide", "secret", Route.CHAT)
    (row,) = (await run(target, uniform(5, 1), Replay((0,)), 0.1, prompts=WORDS)).rows
    assert row.served
    assert endpoint.bodies[-1][0] == "/serving-endpoints/chat/completions"
    with pytest.raises(InvalidParameter, match="completions only"):
        await run(target, uniform(5, 1), Replay((0,)), 0.1, prompts=Ids(5, 99))


async def test_an_endpoint_that_is_not_there_is_said_before_the_run(endpoint):
    endpoint.answer = (404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "no such endpoint"})
    with pytest.raises(InvalidRequest, match="HTTP 404: no such endpoint"):
        await run(endpoint.target, uniform(5, 1), Closed(1), 0.1)


async def test_a_server_that_is_not_there_is_a_failure():
    nowhere = Target("http://127.0.0.1:9", "guide")
    with pytest.raises(Temporary, match="did not answer"):
        await run(nowhere, uniform(5, 1), Closed(1), 0.1)
    rows = (await run(nowhere, uniform(5, 1), constant(20), 0.12, prompts=WORDS)).rows
    assert len(rows) == 3
    assert {(row.outcome, row.status) for row in rows} == {(Outcome.FAILED, 0)}


async def test_a_request_that_takes_too_long_is_a_failure(endpoint):
    endpoint.gap_s = 0.2
    slow = Target(endpoint.url, "guide", "secret", timeout_s=0.05)
    (row,) = (await run(slow, uniform(5, 9), Replay((0,)), 0.1, prompts=WORDS)).rows
    assert (row.outcome, row.message) == (Outcome.FAILED, "no answer within 0.05 s")


async def test_a_run_without_time_is_refused(endpoint):
    with pytest.raises(InvalidParameter, match="duration"):
        await run(endpoint.target, uniform(5, 1), Closed(1), 0)
