"""Streams as servers send them, cut anywhere, made alike."""

import pytest

from penstock.adapters.providers.event_reader import DONE, MOST_EVENT, EventReader
from penstock.domain.errors import ProviderFailed

A, B = b'data: {"a":1}\n\n', b'data: {"b":2}\n\n'
STOP = b'data: {"choices":[{"finish_reason":"stop"}]}\n\n'


def read(whole, *, size=10**9, end=True):
    reader = EventReader("P")
    found = b"".join(reader.feed(whole[at : at + size]) for at in range(0, len(whole), size))
    return found + (reader.end() if end and not reader.done else b""), reader.done


MESSY = (
    b': keep-alive\r\n\r\nevent: message\r\nid: 7\r\ndata:{"a":1}\r\n\r\n'
    b'data: {"b":\r\ndata: 2}\r\n\r\nretry: 3\n\ndata: [DONE]\r\n\r\n'
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10**9])
def test_however_it_is_cut_the_events_are_the_same(size):
    assert read(A + B + DONE, size=size) == (A + B + DONE, True)
    assert read(MESSY, size=size) == (A + b'data: {"b": 2}\n\n' + DONE, True)


def test_plain_events_pass_at_once():
    reader = EventReader("P")
    assert reader.feed(A) == A
    assert reader.feed(B[:5]) == b""
    assert reader.feed(B[5:] + A[:3]) == B
    assert reader.feed(A[3:]) == A


def test_what_comes_after_the_end_is_dropped():
    assert read(A + DONE + B) == (A + DONE, True)


@pytest.mark.parametrize("last", [STOP, STOP[:-2], b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n'])
def test_an_answer_that_is_complete_gets_the_end_that_its_server_forgot(last):
    whole, done = read(A + last)
    assert done
    assert whole == A + last.rstrip() + b"\n\n" + DONE


@pytest.mark.parametrize("last", [A, A[:-4], b"", b"data: nonsense\n\n", b'data: {"choices":[],"usage":null}\n\n'])
def test_an_answer_that_is_not_complete_has_failed(last):
    with pytest.raises(ProviderFailed, match="P broke off"):
        read(A + last)


def test_an_error_is_an_end_of_its_own():
    error = b'data: {"error":{"message":"overloaded"}}\n\n'
    assert read(A + error) == (A + error, False)


def test_an_event_has_a_limit():
    with pytest.raises(ProviderFailed, match="more than"):
        EventReader("P").feed(b"data: " + b"x" * MOST_EVENT)
