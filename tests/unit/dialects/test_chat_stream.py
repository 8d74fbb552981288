"""A chat stream taken apart: one part after the other, whatever the order of events and wherever bytes are cut."""

import json
import random

import pytest
from chats import CALLS, DONE, MIXED, STREAMS, TEXT, call, chunk, usage

from penstock.web.openai.chat_stream import Begun, Broken, ChatStream, Closed, Ended, Grew, Opened

END = b"\n\n"


def steps(pieces):
    stream = ChatStream()
    return [step for piece in pieces for step in stream.feed(piece)], stream


def told(found):
    """Steps in short. What grew counts as a whole."""
    return [
        (type(step).__name__, step.part.index, step.text if isinstance(step, Grew) else "")
        if isinstance(step, Opened | Grew | Closed)
        else (type(step).__name__,)
        for step in found
    ]


def test_a_text():
    found, stream = steps(TEXT)
    assert told(found) == [
        ("Begun",), ("Opened", 0, ""), ("Grew", 0, "Wat"), ("Grew", 0, "er ü"), ("Closed", 0, ""), ("Ended",),
    ]  # fmt: skip
    assert found[0].answer.usage.prompt_tokens == 7
    assert (found[-1].finish, found[-1].used.completion_tokens, found[-1].used.cached) == ("stop", 3, 4)
    assert stream.over


def test_calls_follow_each_other():
    found, stream = steps(CALLS)
    assert [step[:2] for step in told(found) if step[0] in ("Opened", "Closed")] == [
        ("Opened", 0), ("Closed", 0), ("Opened", 1), ("Closed", 1),
    ]  # fmt: skip
    assert [(part.name, part.call_id, part.text) for part in stream.parts] == [
        ("flow", "call_a", '{"river": "Inn"}'), ("level", "call_b", '{"at": 2}'),
    ]  # fmt: skip
    assert (found[-1].finish, found[-1].used.prompt_tokens) == ("tool_calls", 20)


def test_parts_that_come_in_turns_are_put_in_order():
    found, stream = steps(MIXED)
    assert [(part.name, part.text) for part in stream.parts] == [
        ("", "I look."), ("flow", '{"river": "Inn"}'), ("level", '{"at": 2}'), ("", " Done."),
    ]  # fmt: skip
    shown = [""] * 4
    is_open = None
    for step in found:
        if isinstance(step, Opened):
            assert is_open is None
            is_open = step.part.index
        elif isinstance(step, Grew):
            assert step.part.index == is_open
            shown[is_open] += step.text
        elif isinstance(step, Closed):
            assert step.part.index == is_open
            is_open = None
    assert shown == [part.text for part in stream.parts]


@pytest.mark.parametrize("name", STREAMS)
def test_cuts_between_any_two_bytes_change_nothing(name):
    events = STREAMS[name]
    whole = b"".join(events)
    expected = told(steps([whole])[0])
    for size in (1, 2, 3, 7, 64):
        assert told(steps([whole[at : at + size] for at in range(0, len(whole), size)])[0]) == expected
    dice = random.Random(5)
    for _ in range(50):
        cuts = sorted(dice.sample(range(len(whole)), 4))
        assert told(steps([whole[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)])[0]) == expected


def test_random_orders_lose_nothing():
    dice = random.Random(11)
    for _ in range(200):
        said = {"text": "", 0: "", 1: "", 2: ""}
        events, open_calls = [], []
        for number in range(dice.randrange(1, 20)):
            who = dice.choice(["text", *range(min(len(open_calls) + 1, 3))])
            piece = f"<{number}>"
            said[who] += piece
            if who == "text":
                events.append(chunk({"content": piece}))
                continue
            new = who not in open_calls
            if new:
                open_calls.append(who)
            events.append(chunk(call(who, f"f{who}" if new else None, piece, f"id{who}" if new else None)))
        found, stream = steps([*events, DONE])
        assert "".join(part.text for part in stream.parts if not part.calls) == said["text"]
        assert {part.call_id: part.text for part in stream.parts if part.calls} == {
            f"id{who}": said[who] for who in open_calls
        }
        opened = [step.part.index for step in found if isinstance(step, Opened)]
        closed = [step.part.index for step in found if isinstance(step, Closed)]
        assert opened == closed == list(range(len(stream.parts)))


def test_errors_end_a_stream():
    error = b'data: {"error": {"code": "INTERNAL_ERROR", "message": "it broke"}, "usage": {"prompt_tokens": 5}}\n\n'
    found, stream = steps([*TEXT[:2], error, *TEXT[2:]])
    assert isinstance(found[0], Begun)
    assert found[-1] == Broken("INTERNAL_ERROR", "it broke", found[-1].used)
    assert found[-1].used.prompt_tokens == 5
    assert stream.over
    plain, _ = steps([b'data: {"error": "gone"}\n\n'])
    assert plain[-1].message == "gone"
    garbage, _ = steps([b"data: {nonsense\n\n", *TEXT])
    assert [type(step) for step in garbage] == [Broken]


def test_what_other_servers_write():
    pieces = [{"type": "reasoning", "summary": []}, {"type": "text", "text": "So"}]
    events = [
        b": a comment\n\n",
        b"event: message\ndata:"
        + json.dumps({"choices": [{"delta": {"content": pieces}}], "created": 1.5}).encode()
        + END,
        chunk({"refusal": " no"}),
        chunk({}, "stop", stop_reason="END"),
        chunk(used=usage(1, 2)),
        DONE,
    ]
    found, stream = steps(events)
    assert stream.parts[0].text == "So no"
    assert stream.stop == "END"
    assert found[-1] == Ended("stop", found[-1].used)
    assert found[-1].used.completion_tokens == 2
