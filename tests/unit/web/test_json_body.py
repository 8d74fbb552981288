"""What no body may hold is found wherever it is, and everything else is let pass."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.errors import InvalidParameter, MalformedBody
from penstock.web.json_body import MOST_DEPTH, check_json, text_problem

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)
WRONG = [
    ('"\\ud800"', "half of a surrogate pair"),
    ('"a\\uDFFFb"', "half of a surrogate pair"),
    ('"\\u0000"', "NUL"),
    ("9223372036854775808", "64 bits"),
    ("-9223372036854775809", "64 bits"),
    ("1e400", "a number that JSON has"),
    ("-1E+999", "a number that JSON has"),
    ("NaN", "a number that JSON has"),
    ("-Infinity", "a number that JSON has"),
    ("1" + "0" * 400 + ".0", "a number that JSON has"),
]


def nested(depth, inner="1"):
    return ("[" * depth + inner + "]" * depth).encode()


@given(VALUES, st.booleans())
def test_what_a_database_can_hold_passes(value, ascii_only):
    check_json(json.dumps({"value": value}, ensure_ascii=ascii_only).encode())


@pytest.mark.parametrize(("wrong", "rule"), WRONG)
@pytest.mark.parametrize("place", ['{"a": [{"b": 1}, {"b": %s}]}', '{"b": "\\ud83d\\ude00", "a": [0, {"b": %s}]}'])
def test_what_none_can_hold_is_named_with_its_rule(place, wrong, rule):
    with pytest.raises(InvalidParameter, match=rf"^a\.1\.b: .*{rule}"):
        check_json((place % wrong).encode())


def test_the_first_of_several_is_named():
    with pytest.raises(InvalidParameter, match=r"^a\.b: "):
        check_json(b'{"a": {"b": NaN, "c": NaN}, "d": "\\u0000"}')


@pytest.mark.parametrize(("name", "told"), [('"\\ud800"', r"a\.\\ud800: "), ('"x\\u0000"', r"a\.x\\x00: ")])
def test_names_of_fields_are_looked_at_too(name, told):
    with pytest.raises(InvalidParameter, match=rf"^{told}a field's name must"):
        check_json(b'{"a": {%s: 1}}' % name.encode())


def test_a_body_that_is_no_object_can_be_wrong_as_a_whole():
    with pytest.raises(InvalidParameter, match=r"^The request body: must"):
        check_json(b"NaN")


@pytest.mark.parametrize(
    "body", [b'"\xff"', b'"\xed\xa0\x80"', '{"a": 1}'.encode("utf-16"), '{"a": 1}'.encode("utf-32-le"), b'{"a": "\0"}']
)
def test_a_body_is_utf8(body):
    with pytest.raises(MalformedBody, match="UTF-8"):
        check_json(body)


@pytest.mark.parametrize("depth", [MOST_DEPTH + 1, 500, 100_000])
def test_nesting_ends_somewhere(depth):
    with pytest.raises(MalformedBody, match="nested deeper than 64"):
        check_json(nested(depth))
    with pytest.raises(MalformedBody, match="nested deeper than 64"):
        check_json(b'{"a":' * depth + b"1" + b"}" * depth)


def test_brackets_that_are_not_nested_or_not_of_json_do_not_count():
    check_json(nested(MOST_DEPTH))
    check_json(json.dumps([[one] for one in range(100)]).encode())
    check_json(json.dumps({"text": "[" * 1000}).encode())


def test_too_many_digits_are_told_and_not_read():
    with pytest.raises(MalformedBody, match="digits"):
        check_json(b'{"a": ' + b"9" * 5000 + b"}")


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1e999', b"\xef\xbb\xbf{}", b"9223372036854775807"])
def test_the_rest_is_left_to_the_parser(body):
    check_json(body)


@given(st.text())
def test_a_text_without_a_problem_can_be_stored(text):
    problem = text_problem(text)
    storable = "\0" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)
    assert (problem == "") is storable
