"""Lines of a batch, and what they are expected to cost."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.batch_estimate import Learned, Size, Used, Workload, duration_s, size_of
from penstock.domain.batch_row import Row, parse
from penstock.domain.errors import InvalidRequest
from penstock.domain.profile import CostModel

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
    assert size_of({"input": ["ab", "c"], "max_tokens": 9}) == Size(3, 0)
    assert size_of({"prompt": "ab", "max_tokens": "many"}) == Size(2, None)


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


def test_a_batch_takes_its_device_time_and_the_time_in_which_the_device_empties():
    assert duration_s(0, 0, 16, 1) == 0
    assert duration_s(10, 1, 16, 1) == 10
    assert duration_s(200, 200, 16, 1) == pytest.approx(207.5)
    assert duration_s(200, 200, 16, 0.5) == pytest.approx(415)
