import itertools
import json

import pytest

from penstock.domain.errors import InvalidParameter
from penstock.load.prompts import Ids, Words, fit
from penstock.load.target import Route, Target
from penstock.load.workload import REFERENCE, Ask, Workload, read_rows, read_trace, uniform


def test_the_default_is_the_reference_workload():
    assert next(uniform().stream()) == REFERENCE == Ask(2048, 256)


def test_a_mix_is_drawn_by_its_weights_and_repeatable():
    mix = Workload((Ask(1, 1), Ask(2, 2)), weights=(3, 1), seed=5)
    drawn = list(itertools.islice(mix.stream(), 2000))
    assert drawn.count(Ask(1, 1)) == pytest.approx(1500, abs=100)
    assert drawn == list(itertools.islice(mix.stream(), 2000))


def test_rows_of_ones_own_are_sent_as_they_are(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"messages": [{"role": "user", "content": "hi"}], "top_p": 0.5}\n\n{"prompt": "a", "max_tokens": 3}\n'
    )
    chat, completion = read_rows(path).asks
    target = Target("http://x/", "guide", exact=False)
    assert target.address(chat) == "http://x/serving-endpoints/chat/completions"
    assert target.address(completion) == "http://x/serving-endpoints/completions"
    assert json.loads(target.body(completion, Words())) == {
        "model": "guide",
        "prompt": "a",
        "max_tokens": 3,
        "stream": True,
    }
    assert json.loads(target.body(chat, Words()))["top_p"] == 0.5


def test_a_trace_gives_times_from_zero_and_sizes(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(
        '{"t": 12, "input_tokens": 5, "output_tokens": 6}\n{"t": 10.5, "input_tokens": 3, "output_tokens": 4}\n'
    )
    times, workload = read_trace(path)
    assert times == (0, 1.5)
    assert workload.asks == (Ask(3, 4), Ask(5, 6))


@pytest.mark.parametrize(
    ("read", "text", "named"),
    [
        (read_rows, "{", "line 1"),
        (read_rows, '{"prompt": "a"}\n[]', "line 2"),
        (read_rows, '{"text": "a"}', "messages"),
        (read_rows, '{"prompt": "a", "max_tokens": 0}', "max_tokens"),
        (read_rows, "", "at least one"),
        (read_trace, '{"t": 1}', "line 1"),
    ],
)
def test_a_wrong_file_is_refused_with_the_line_and_the_rule(tmp_path, read, text, named):
    path = tmp_path / "file.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidParameter, match=named):
        read(path)


def test_prompts_differ_even_between_runs():
    assert Words().make(30) != Words().make(30)
    assert Ids(10, 30_000).make(30) != Ids(10, 30_000).make(30)


def test_words_are_fitted_to_the_tokenizer():
    words = fit([(10, 26), (100, 206)])
    assert (words.per_word, words.overhead) == (pytest.approx(2), pytest.approx(6))
    assert len(words.make(206).split()) == 100


def test_an_endpoint_that_tells_no_usage_cannot_be_calibrated():
    with pytest.raises(InvalidParameter, match="prompt_tokens"):
        fit([(10, 0), (100, 0)])


def test_a_caller_may_ask_for_more_than_it_takes():
    assert Ask(5, 200, max_tokens=4096).hangs_up
    assert not Ask(5, 200).hangs_up
    body = json.loads(Target("http://x", "e", route=Route.CHAT).body(Ask(5, 2, 9), Words()))
    assert body["max_tokens"] == 9
    assert body["ignore_eos"] is True
    assert len(body["messages"][0]["content"].split()) == 5
