"""Lines of a batch, and what they are expected to cost."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.batch_estimate import Learned, Size, Used, Workload, size_of
from penstock.domain.batch_row import Row, parse
from penstock.domain.errors import InvalidRequest
from penstock.domain.profile import CostModel
from penstock.domain.tenancy import Terms

SAY = {"messages": [{"role": "user", "content": "hello"}]}
LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": SAY}
COST = CostModel(0.01, 1e-4, 1e-8, 2e-3, 1e-7)


def test_a_row_is_a_body_or_a_line_of_an_openai_batch():
    assert parse(3, json.dumps(SAY).encode(), bare=True) == Row(3, "row-3", "", SAY)
    assert parse(3, json.dumps(LINE).encode(), bare=True) == Row(3, "a", "/v1/chat/completions", SAY)
    assert json.loads(parse(1, json.dumps(LINE).encode(), bare=False).content) == SAY


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "must be a JSON object"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (json.dumps({**LINE, "custom_id": ""}).encode(), "custom_id"),
        (json.dumps({**LINE, "custom_id": 5}).encode(), "custom_id"),
        (json.dumps({**LINE, "method": "GET"}).encode(), "method"),
        (json.dumps({**LINE, "url": "/v1/responses"}).encode(), "url"),
        (json.dumps({**LINE, "url": []}).encode(), "url"),
        (json.dumps({**LINE, "body": []}).encode(), "body"),
        (json.dumps({**LINE, "body": {}}).encode(), "messages"),
        (json.dumps({**LINE, "body": {**SAY, "stream": True}}).encode(), "stream"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(line, words):
    with pytest.raises(InvalidRequest, match="Line 7") as error:
        parse(7, line, bare=False)
    assert words in error.value.message


def test_a_bare_body_is_no_line_of_an_openai_batch():
    with pytest.raises(InvalidRequest, match="custom_id is required"):
        parse(1, json.dumps(SAY).encode(), bare=False)


def test_sizes():
    assert size_of({**SAY, "max_tokens": 9}) == Size(len("userhello"), 9)
    assert size_of({"prompt": [1, 2, 3], "max_completion_tokens": 4}) == Size(12, 4)
    assert size_of({"input": ["ab", "c"], "max_tokens": 9}) == Size(3, 0, 2)
    assert size_of({"prompt": "ab", "max_tokens": "many"}) == Size(2, None)
    assert size_of({"prompt": [[1, 2], [3]], "max_tokens": 5, "n": 3}) == Size(12, 30, 2)
    assert size_of({"input": [], "prompt": 7}) == Size(0, 0)


def test_tokens_are_learned_as_a_fixed_part_and_one_by_characters():
    learned = Learned()
    assert learned.tokens_in(Size(400, 10)) == 100
    assert (learned.tokens_out(Size(4, 10)), learned.tokens_out(Size(4, None))) == (10, 256)
    for characters in (30, 300, 3000):
        learned.learn(Used(Size(characters, 64), 20 + characters // 3, 40))
    assert learned.tokens_in(Size(600, 64)) == pytest.approx(220)
    assert (learned.tokens_out(Size(600, 64)), learned.tokens_out(Size(600, 8))) == (40, 8)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=1, max_size=20))
def test_what_is_learned_is_never_negative_and_right_for_rows_alike(seen):
    learned = Learned()
    for characters, tokens in seen:
        learned.learn(Used(Size(characters, None), tokens, 5))
    assert all(learned.tokens_in(Size(size, None)) >= 0 for size in (0, 1, 100, 100_000))
    alike = Learned()
    for _ in seen:
        alike.learn(Used(Size(90, None), 30, 5))
    assert alike.tokens_in(Size(90, None)) == pytest.approx(30)


def test_a_sample_stands_for_many_rows():
    sizes = [Size(400 + index % 7, 10) for index in range(9001)]
    learned = Learned()
    exact = sum(COST.seconds(learned.tokens_in(size), 10) for size in sizes)
    assert Workload(sizes).device_s(learned, COST) == pytest.approx(exact, rel=0.01)
    assert Workload([]).device_s(learned, COST) == 0


def terms(knee=8):
    return Terms(2304 / BUSY.seconds(2048, 256), knee, BUSY, fixed_s=0.001, running=32, kv_tokens=100_000)


def timed(count, window, shape=(400, 100), knee=8):
    sizes = [Size(4 * shape[0], shape[1])] * count
    return Workload(sizes).duration_s(Learned(), terms(knee), window)


BUSY = CostModel(0.002, 6e-5, 2e-8, 3e-4, 5e-7)


def test_a_batch_with_a_full_window_takes_its_device_time_and_some_for_filling_and_emptying():
    busy = 200 * BUSY.seconds(400, 100)
    # Short rows do not fill a batch as reference requests do: more of them share a step.
    assert 0.9 * busy <= timed(200, 16) <= 1.1 * busy
    assert timed(0, 16) == 0


def test_few_rows_at_a_time_leave_the_device_half_used():
    times = [timed(100, window) for window in (1, 2, 4, 8)]
    assert times == sorted(times, reverse=True)
    assert times[0] > 1.5 * times[-1]
    assert timed(100, 64) == pytest.approx(timed(100, 16), rel=0.1)


def test_a_row_of_many_texts_is_as_much_as_a_row_for_each():
    together, apart = Workload([Size(10 * 1600, 0, 10)] * 30), Workload([Size(1600, 0)] * 300)
    assert together.device_s(Learned(), BUSY) == pytest.approx(apart.device_s(Learned(), BUSY))
    assert together.duration_s(Learned(), terms(), 2) == pytest.approx(apart.duration_s(Learned(), terms(), 20))


def test_many_rows_take_as_long_as_those_that_were_simulated():
    assert timed(3000, 16) == pytest.approx(10 * timed(300, 16), rel=0.03)


def test_answers_that_were_cut_do_not_make_longer_ones_look_short():
    learned = Learned()
    for limit in (32, 32, 32, 512, 512, 64, 64, 64):
        learned.learn(Used(Size(10, limit), 5, limit))
    assert learned.tokens_out(Size(10, 512)) == 512
    assert learned.tokens_out(Size(10, 32)) == 32
    assert learned.tokens_out(Size(10, 900)) == 900
    assert learned.tokens_out(Size(10, None)) == 512


def test_answers_that_end_by_themselves_bound_what_is_expected():
    learned = Learned()
    for length in (10, 20, 30, 40):
        learned.learn(Used(Size(10, 1000), 5, length))
    assert learned.tokens_out(Size(10, None)) == 25
    assert learned.tokens_out(Size(10, 1000)) == 25
    assert learned.tokens_out(Size(10, 15)) == pytest.approx((10 + 15 * 3) / 4)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 500)), min_size=1, max_size=60), st.integers(0, 600))
def test_an_expected_answer_is_never_longer_than_its_limit(seen, limit):
    learned = Learned()
    for length, most in seen:
        learned.learn(Used(Size(10, most), 5, min(length, most)))
    assert 0 <= learned.tokens_out(Size(10, limit)) <= limit + 1e-6
    assert learned.tokens_out(Size(10, limit)) <= learned.tokens_out(Size(10, limit + 1)) + 1e-6
