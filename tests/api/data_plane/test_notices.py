"""Answers of a deprecated model say that it is one, and when it ends."""

HELLO = {"messages": [{"role": "user", "content": "hello"}]}
ANSWER = (
    b'{"id":"x","object":"chat.completion","created":1,"model":"m",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
)
TOLD = {
    "warning": "299 penstock \"Guide is deprecated. Use 'Gu?de 2' instead.\"",
    "sunset": "Sat, 02 Jan 2027 00:00:00 GMT",
}


def told(answer):
    return {name: answer.headers[name] for name in TOLD if name in answer.headers}


async def test_every_answer_of_a_deprecated_model_says_so(noting, engine):
    noting.plane.publish(engine)
    asking = noting.asking("/serving-endpoints/guide/invocations", {**HELLO, "stream": True})
    turn = await engine.turn()
    await turn.write(b'data: {"choices":[]}\n\n', b"data: [DONE]\n\n")
    turn.finish()
    streamed = await asking
    engine.constant = ANSWER
    chat = await noting.post("/serving-endpoints/chat/completions", {**HELLO, "model": "guide"})
    native = await noting.post("/serving-endpoints/responses", {"model": "guide", "input": "hello"})
    refused = await noting.post("/serving-endpoints/guide/invocations", {"messages": 3})
    assert [one.status for one in (streamed, chat, native, refused)] == [200, 200, 200, 400]
    assert [told(one) for one in (streamed, chat, native, refused)] == [TOLD] * 4


async def test_other_models_say_nothing(noting, engine):
    engine.constant = ANSWER
    noting.plane.publish(engine, name="other", entity="other-1")
    answer = await noting.post("/serving-endpoints/other/invocations", HELLO)
    assert (answer.status, told(answer)) == (200, {})
    missing = await noting.post("/serving-endpoints/none/invocations", HELLO)
    assert (missing.status, told(missing)) == (404, {})
