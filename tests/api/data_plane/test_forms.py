"""Bodies in the forms of custom models: what reaches the engine, and what comes back."""

import asyncio
import json

import pytest

from penstock.domain.errors import MalformedBody
from penstock.domain.model import Task
from penstock.web.openai.app import _translated

INVOKE = "/serving-endpoints/guide/invocations"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
TEXTS = {"choices": [{"index": 0, "text": "one"}, {"index": 1, "text": "two"}], "usage": USAGE}
TALK = [{"role": "user", "content": "hello"}]
SAID = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}], "usage": USAGE}
VECTORS = {"data": [{"index": 0, "embedding": [0.5, -1.0]}, {"index": 1, "embedding": [1.0, 0.0]}]}


async def asked(served, engine, body, answer):
    """What the engine got, and what the client was answered."""
    asking = asyncio.ensure_future(served.post(INVOKE, body))
    turn = await engine.turn()
    turn.answer(json.dumps(answer).encode())
    done = await asking
    return json.loads(turn.body), await done.json()


@pytest.mark.parametrize(
    "form",
    [
        {"dataframe_split": {"index": [0, 1], "columns": ["prompt"], "data": [["a"], ["b"]]}},
        {"dataframe_split": [{"columns": ["prompt"], "data": [["a"], ["b"]]}]},
        {"dataframe_split": {"columns": ["prompt", "max_tokens"], "data": [["a", 7], ["b", 7]]}},
        {"dataframe_records": [{"prompt": "a"}, {"prompt": "b"}]},
        {"dataframe_records": [{"text": "a"}, {"text": "b"}]},
        {"inputs": ["a", "b"]},
        {"inputs": {"prompt": ["a", "b"]}},
        {"inputs": {"prompt": ["a", "b"]}, "params": {"max_tokens": 7}},
        {"instances": ["a", "b"]},
        {"instances": [{"prompt": "a"}, {"prompt": "b"}], "max_tokens": 7},
    ],
)
async def test_completions_in_every_form(served, plane, engine, form):
    plane.publish(engine, task=Task.COMPLETIONS)
    got, answer = await asked(served, engine, {**form, "temperature": 0}, TEXTS)
    more = {"max_tokens": 7} if "max_tokens" in json.dumps(form) else {}
    assert got == {"prompt": ["a", "b"], "temperature": 0, **more}
    assert answer == {"predictions": ["one", "two"], "usage": USAGE}
    assert (await plane.record()).usage.completion_tokens == 2


@pytest.mark.parametrize(
    "form",
    [
        {"inputs": "hello"},
        {"inputs": TALK},
        {"inputs": {"messages": TALK}},
        {"instances": [{"messages": TALK}]},
        {"dataframe_records": [{"messages": TALK}]},
        {"dataframe_split": {"columns": ["messages"], "data": [[TALK]]}},
        {"instances": ["hello"]},
    ],
)
async def test_a_conversation_in_every_form(served, plane, engine, form):
    plane.publish(engine)
    got, answer = await asked(served, engine, form, SAID)
    assert got == {"messages": TALK}
    assert answer["predictions"] == ["hi"]


async def test_embeddings_and_tool_calls(served, plane, engine):
    plane.publish(engine, task=Task.EMBEDDINGS)
    got, answer = await asked(served, engine, {"inputs": ["a", "b"], "client_request_id": "mine"}, VECTORS)
    assert got == {"input": ["a", "b"], "client_request_id": "mine"}
    assert answer == {"predictions": [[0.5, -1.0], [1.0, 0.0]]}
    plane.publish(engine)
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    _, answer = await asked(served, engine, {"inputs": "hello"}, {"choices": [{"message": called}]})
    assert answer == {"predictions": [called]}


@pytest.mark.parametrize(
    ("task", "body", "says"),
    [
        (Task.CHAT, {"inputs": ["a", "b"]}, 'parameter "inputs" must hold one row'),
        (Task.CHAT, {"inputs": "a", "stream": True}, 'parameter "stream" must be false'),
        (Task.CHAT, {"inputs": "a", "messages": TALK}, 'together with "messages"'),
        (Task.COMPLETIONS, {"inputs": ["a"], "instances": ["b"]}, "together with"),
        (Task.COMPLETIONS, {"inputs": []}, "at least one row"),
        (Task.COMPLETIONS, {"inputs": [1.5]}, "must hold texts"),
        (Task.COMPLETIONS, {"inputs": "a", "params": 1}, 'parameter "params" must be an object'),
        (Task.COMPLETIONS, {"dataframe_records": "a"}, "must be a list of objects"),
        (Task.COMPLETIONS, {"dataframe_split": {"columns": ["prompt"]}}, '"columns"'),
        (Task.COMPLETIONS, {"dataframe_split": {"columns": ["prompt"], "data": [["a", "b"]]}}, "rows of 1 values"),
        (Task.COMPLETIONS, {"dataframe_records": [{"a": "x", "b": "y"}]}, 'must have a column "prompt"'),
        (Task.COMPLETIONS, {"dataframe_records": [{"prompt": "x"}, {"b": "y"}]}, "same columns in all rows"),
        (
            Task.COMPLETIONS,
            {"dataframe_records": [{"prompt": "x", "n": 1}, {"prompt": "y", "n": 2}]},
            "dataframe_records.n",
        ),
        (Task.COMPLETIONS, {"inputs": {"prompt": ["a"], "n": [1, 2]}}, "columns of the same length"),
        (Task.EMBEDDINGS, {"instances": "a"}, 'parameter "instances" must be a list'),
    ],
)
async def test_what_makes_no_sense_is_refused_and_accounted_for(served, engine, task, body, says):
    plane = served.plane
    plane.publish(engine, task=task)
    status, code, message = await served.error(INVOKE, body)
    assert (status, code) == (400, "BAD_REQUEST")
    assert says in message
    assert (await plane.record()).outcome == "rejected"


async def test_errors_of_the_engine_stay_as_they_are_and_a_text_may_hold_the_word(served, plane, engine):
    plane.publish(engine)
    asking = asyncio.ensure_future(served.post(INVOKE, {"inputs": "hello"}))
    (await engine.turn()).answer(b'{"error_code":"BAD_REQUEST","message":"no"}', status=400)
    answer = await asking
    told = await answer.json()
    assert (answer.status, told["error_code"], told["message"]) == (400, "BAD_REQUEST", "no")
    assert told["details"][0]["request_id"] == answer.headers["x-request-id"]
    body = {"messages": [{"role": "user", "content": 'what are "inputs"?'}]}
    got, answer = await asked(served, engine, body, SAID)
    assert (got, answer) == (body, SAID)


async def test_one_endpoint_as_a_model(served, plane, engine):
    plane.publish(engine)
    async with served.session.get("/serving-endpoints/models/guide") as answer:
        assert await answer.json() == {"id": "guide", "object": "model", "created": 0, "owned_by": "boss"}
    async with served.session.get("/serving-endpoints/models/other/") as answer:
        assert (answer.status, (await answer.json())["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    assert (await served.error("/serving-endpoints/models/guide", {}))[0] == 405


async def test_nesting_of_any_depth_is_refused_and_no_fault(served, plane, engine):
    plane.publish(engine)
    for depth in (*range(100, 1100, 25), 5000):
        sent = '{"inputs": ' + '{"a":' * depth + "1" + "}" * depth + "}"
        async with served.session.post(INVOKE, data=sent.encode()) as answer:
            assert answer.status == 400, (depth, await answer.text())


def test_nesting_that_cannot_be_written_again_is_refused_in_every_wire_format():
    class Deep:
        def chat(self, body):
            raise RecursionError

    body, check = _translated(Deep(), b"{}")
    with pytest.raises(MalformedBody, match="nested"):
        check(Task.CHAT, body)
