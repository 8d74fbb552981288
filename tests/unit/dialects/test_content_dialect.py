"""Google's generateContent: requests to chat, answers from chat."""

import json

import pytest
from chats import CALLS, DONE, MIXED, STREAMS, TEXT, call, chunk, usage, whole

from penstock.domain.errors import EngineFailed, InvalidRequest
from penstock.web.gemini.dialect import ContentDialect, ContentStreamDialect
from penstock.web.openai.dialect import Heading

SAY = [{"role": "user", "parts": [{"text": "hi"}]}]
FLOW = {"name": "flow", "description": "how much", "parameters": {"type": "OBJECT"}}
LEVEL = {"name": "level", "parametersJsonSchema": {"type": "object"}}
BOTH = [{"functionDeclarations": [FLOW, LEVEL]}]
PIXEL = {"mimeType": "image/png", "data": "aGk="}


def opened(streams=False, query=b"", **body):
    dialect = ContentStreamDialect() if streams else ContentDialect()
    made = dialect.open(Heading("the-id", (), query or (b"alt=sse" if streams else b""), "guide"))
    return made, json.loads(made.chat(json.dumps({"contents": SAY, **body}).encode()))


def chat(**body):
    return opened(**body)[1]


def config(**fields):
    return {"generationConfig": fields}


def test_the_simplest_request():
    simplest = {"model": "guide", "messages": [{"role": "user", "content": "hi"}]}
    assert chat() == chat(contents=[{"parts": [{"text": "hi"}]}]) == opened(query=b"alt=json")[1] == simplest
    assert opened(streams=True)[1] == simplest | {"stream": True, "stream_options": {"include_usage": True}}


def test_every_field_arrives():
    body = chat(
        systemInstruction={"parts": [{"text": "Be "}, {"text": "brief."}]}, tools=BOTH,
        toolConfig={"functionCallingConfig": {"mode": "ANY"}},
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        generationConfig={
            "temperature": 0.5, "topP": 0.9, "topK": 4, "candidateCount": 2, "maxOutputTokens": 9,
            "stopSequences": ["END"], "seed": 7, "presencePenalty": 1, "frequencyPenalty": -1,
            "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"},
            "responseLogprobs": True, "logprobs": 3, "responseModalities": ["TEXT"],
            "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"},
        },
        clientRequestId="mine", usageContext={"a_b": "c"},
    )  # fmt: skip
    assert body == {
        "model": "guide", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "temperature": 0.5, "top_p": 0.9, "top_k": 4, "n": 2, "max_tokens": 9, "stop": ["END"], "seed": 7,
        "presence_penalty": 1, "frequency_penalty": -1, "logprobs": True, "top_logprobs": 3, "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema", "json_schema": {"name": "output", "schema": {"type": "object"}, "strict": True},
        },
        "tools": [
            {"type": "function", "function": {
                "name": "flow", "description": "how much", "parameters": {"type": "object"}}},
            {"type": "function", "function": {"name": "level", "parameters": {"type": "object"}}},
        ],
        "tool_choice": "required", "client_request_id": "mine", "usage_context": {"a_b": "c"},
    }  # fmt: skip


def test_names_in_snake_case_are_the_same_and_those_of_clients_stay():
    args = {"at_place": 1}
    called = {"role": "model", "parts": [{"function_call": {"name": "flow", "args": args}}]}
    body = chat(
        contents=[*SAY, called], system_instruction={"parts": [{"text": "Brief."}]},
        generation_config={"max_output_tokens": 9, "response_mime_type": "application/json", "response_schema": {
            "type": "OBJECT", "properties": {"the_flow": {"type": "NUMBER"}}, "property_ordering": ["the_flow"]}},
    )  # fmt: skip
    assert body["messages"][0] == {"role": "system", "content": "Brief."}
    assert json.loads(body["messages"][2]["tool_calls"][0]["function"]["arguments"]) == args
    assert body["max_tokens"] == 9
    schema = {"type": "object", "properties": {"the_flow": {"type": "number"}}}
    assert body["response_format"]["json_schema"]["schema"] == schema


def test_googles_schemas_become_those_of_json():
    schema = {
        "type": "ARRAY", "minItems": "2", "nullable": True, "items": {
            "type": "OBJECT", "required": ["nullable"], "properties": {
                "nullable": {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
                "when": {"anyOf": [{"type": "INTEGER", "format": "int32"}, {"type": "STRING", "format": "date"}]}}},
    }  # fmt: skip
    body = chat(**config(responseMimeType="application/json", responseSchema=schema))
    assert body["response_format"]["json_schema"]["schema"] == {
        "type": ["array", "null"], "minItems": 2, "items": {
            "type": "object", "required": ["nullable"], "properties": {
                "nullable": {"type": ["string", "null"], "enum": ["a", None]},
                "when": {"anyOf": [{"type": "integer"}, {"type": "string", "format": "date"}]}}},
    }  # fmt: skip
    assert chat(**config(responseMimeType="application/json"))["response_format"] == {"type": "json_object"}
    assert "response_format" not in chat(**config(responseMimeType="text/plain"))


@pytest.mark.parametrize(("mode", "chats"), [("AUTO", "auto"), ("NONE", "none"), ("ANY", "required")])
def test_choices_of_functions(mode, chats):
    assert chat(tools=BOTH, toolConfig={"functionCallingConfig": {"mode": mode}})["tool_choice"] == chats


def test_without_functions_there_is_nothing_to_choose():
    assert chat(toolConfig={"functionCallingConfig": {"mode": "AUTO"}}) == chat(toolConfig={}) == chat()
    assert chat(toolConfig={"functionCallingConfig": {"mode": "ANY"}})["tool_choice"] == "required"


def test_only_functions_that_are_allowed_are_shown():
    chosen = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["level"]}}
    body = chat(tools=BOTH, toolConfig=chosen)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["level"]
    assert body["tool_choice"] == "required"


def test_parts_become_messages():
    turns = [
        {"role": "user", "parts": [{"text": "a"}, {"inlineData": PIXEL}]},
        {"role": "model", "parts": [
            {"text": "Hm.", "thought": True}, {"text": "I "}, {"text": "look."},
            {"functionCall": {"name": "flow", "args": {"river": "Inn"}}, "thoughtSignature": "sig"},
            {"functionCall": {"name": "flow"}},
            {"functionCall": {"name": "level", "id": "c9"}}]},
        {"role": "user", "parts": [
            {"text": "Well?"},
            {"functionResponse": {"name": "level", "id": "c9", "response": {"m": 1}}},
            {"functionResponse": {"name": "flow", "response": {"output": "3"}}},
            {"functionResponse": {"name": "flow", "response": {"output": "4"}}}]},
        {"role": "model", "parts": [{"text": "Hm.", "thought": True}]},
        {"role": "user", "parts": [{"fileData": {"mimeType": "image/png", "fileUri": "https://a/b"}}]},
    ]  # fmt: skip
    calls = [("call_0", "flow", '{"river":"Inn"}'), ("call_1", "flow", "{}"), ("c9", "level", "{}")]
    told = [
        {"id": name, "type": "function", "function": {"name": function, "arguments": given}}
        for name, function, given in calls
    ]
    told[0]["extra_content"] = {"google": {"thought_signature": "sig"}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    assert chat(contents=turns)["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, picture]},
        {"role": "assistant", "content": "I look.", "tool_calls": told},
        {"role": "tool", "tool_call_id": "c9", "content": '{"m":1}'},
        {"role": "tool", "tool_call_id": "call_0", "content": '{"output":"3"}'},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"output":"4"}'},
        {"role": "user", "content": "Well?"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b"}}]},
    ]  # fmt: skip


def parts(*given, role="user"):
    return {"contents": [{"role": role, "parts": list(given)}]}


def calling(**how):
    return {"toolConfig": {"functionCallingConfig": how}}


ALLOW = {"mode": "AUTO", "allowedFunctionNames": ["flow"]}
CALLING = "toolConfig.functionCallingConfig"
JSON = "application/json"
AT = "contents[0].parts[0]"
REFUSED = [
    ({"contents": []}, "contents"),
    ({"contents": None}, "contents"),
    ({"contents": [{"parts": []}]}, "contents[0].parts"),
    ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
    (parts({}), AT),
    (parts({"text": "a", "inlineData": PIXEL}), AT),
    (parts({"functionCall": {"name": "flow"}}), AT),
    (parts({"inlineData": PIXEL}, role="model"), AT),
    (parts({"executableCode": {}}), f"{AT}.executableCode"),
    (parts({"inlineData": {"mimeType": "audio/wav", "data": ""}}), f"{AT}.inlineData.mimeType"),
    (parts({"functionResponse": {"name": "flow", "response": {}}}), f"{AT}.functionResponse.name"),
    (parts({"functionResponse": {"id": "a", "name": "flow", "response": {}}}), f"{AT}.functionResponse.id"),
    ({"systemInstruction": {"parts": [{"inlineData": PIXEL}]}}, "systemInstruction.parts[0].text"),
    ({"made_up": 1}, "madeUp"),
    ({"model": "other"}, "model"),
    ({"cachedContent": "a"}, "cachedContent"),
    ({"tools": [{"googleSearch": {}}]}, "tools[0].googleSearch"),
    ({"tools": [{"functionDeclarations": [FLOW] * 33}]}, "tools"),
    ({"tools": [{"functionDeclarations": [FLOW | LEVEL]}]}, "tools[0].functionDeclarations[0].parametersJsonSchema"),
    ({"tools": BOTH, **calling(mode="VALIDATED")}, f"{CALLING}.mode"),
    ({"tools": BOTH, **calling(**ALLOW)}, f"{CALLING}.allowedFunctionNames"),
    (calling(**ALLOW | {"mode": "ANY"}), f"{CALLING}.allowedFunctionNames"),
    ({"safetySettings": [{"category": "a", "threshold": "BLOCK_ONLY_HIGH"}]}, "safetySettings[0].threshold"),
    (config(temperature=3), "generationConfig.temperature"),
    (config(logprobs=1), "generationConfig.logprobs"),
    (config(responseModalities=["AUDIO"]), "generationConfig.responseModalities[0]"),
    (config(responseMimeType="text/x.enum"), "generationConfig.responseMimeType"),
    (config(responseSchema={}), "generationConfig.responseSchema"),
    (config(responseMimeType=JSON, responseSchema={}, responseJsonSchema={}), "generationConfig.responseJsonSchema"),
    (config(thinkingConfig={"thinkingBudget": 9}), "generationConfig.thinkingConfig.thinkingBudget"),
    (config(candidateCount=2) | {"streams": True}, "generationConfig.candidateCount"),
    ({"streams": True, "query": b"alt=json"}, "alt"),
    ({"query": b"alt=sse"}, "alt"),
    ({"query": b"key=secret"}, "key"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "field"), REFUSED)
def test_what_is_not_served_is_refused_by_name(body, field):
    with pytest.raises(InvalidRequest, match="parameter") as caught:
        chat(**body)
    assert f'parameter "{field}"' in caught.value.message


def answered(message, finish="stop", used=None, asked=None, **more):
    made, _ = opened(**(asked or {}))
    return json.loads(made.whole(whole(message, finish, used, **more)))


def test_a_whole_answer():
    used = usage(7, 3, 4) | {"completion_tokens_details": {"reasoning_tokens": 1}}
    assert answered({"content": "Water"}, used=used) == {
        "candidates": [{
            "content": {"role": "model", "parts": [{"text": "Water"}]}, "index": 0, "finishReason": "STOP"}],
        "usageMetadata": {
            "promptTokenCount": 7, "candidatesTokenCount": 2, "totalTokenCount": 10, "thoughtsTokenCount": 1,
            "cachedContentTokenCount": 4},
        "modelVersion": "guide-1", "responseId": "the-id",
    }  # fmt: skip
    with pytest.raises(EngineFailed):
        opened()[0].whole(b'{"choices": []}')


@pytest.mark.parametrize(
    ("finish", "told"),
    [("stop", "STOP"), ("length", "MAX_TOKENS"), ("tool_calls", "STOP"), ("content_filter", "SAFETY")],
)
def test_endings(finish, told):
    assert answered({"content": "x"}, finish)["candidates"][0]["finishReason"] == told
    last = streamed([chunk({"content": "x"}), chunk({}, finish, usage()), DONE])[-1]
    assert last["candidates"][0]["finishReason"] == told


THINKING = [
    {"reasoning_content": "Hm.", "content": "Water"},
    {"content": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "text", "text": "Water"}]},
]  # fmt: skip


@pytest.mark.parametrize("said", THINKING)
def test_thoughts_are_told_to_who_asks_for_them(said):
    shown = config(thinkingConfig={"includeThoughts": True})
    thought, answer = {"text": "Hm.", "thought": True}, {"text": "Water"}
    assert answered(said)["candidates"][0]["content"]["parts"] == [answer]
    assert answered(said, asked=shown)["candidates"][0]["content"]["parts"] == [thought, answer]
    pieces = [chunk(said), chunk({}, "stop", usage()), DONE]
    assert parts_in(streamed(pieces)) == [answer, {"text": ""}]
    assert parts_in(streamed(pieces, **shown)) == [thought, answer, {"text": ""}]


def test_calls():
    calls = [{"id": "c1", "type": "function", "function": {"name": "flow", "arguments": '{"river": "Inn"}'}}]
    calls[0]["extra_content"] = {"google": {"thought_signature": "sig"}}
    answer = answered({"content": "I look.", "tool_calls": calls}, "tool_calls")
    told = {"functionCall": {"id": "c1", "name": "flow", "args": {"river": "Inn"}}, "thoughtSignature": "sig"}
    assert answer["candidates"][0]["content"]["parts"] == [{"text": "I look."}, told]
    calls[0]["function"]["arguments"] = "no object"
    with pytest.raises(EngineFailed, match="flow"):
        answered({"content": None, "tool_calls": calls}, "tool_calls")


def test_log_probabilities():
    best = [{"token": "W", "logprob": -0.1, "bytes": [87]}, {"token": "L", "logprob": -2.5, "bytes": [76]}]
    rows = {"logprobs": {"content": [best[0] | {"top_logprobs": best}]}}
    wanted = {
        "chosenCandidates": [{"token": "W", "logProbability": -0.1}],
        "topCandidates": [
            {"candidates": [{"token": "W", "logProbability": -0.1}, {"token": "L", "logProbability": -2.5}]}
        ],
    }
    assert answered({"content": "W"}, **rows)["candidates"][0]["logprobsResult"] == wanted
    first, *_ = streamed([chunk({"content": "W"}, **rows), chunk({}, "stop", usage()), DONE])
    assert first["candidates"][0]["logprobsResult"] == wanted
    with pytest.raises(EngineFailed):
        answered({"content": "W"}, logprobs={"content": [{"token": 1}]})


def streamed(pieces, **body):
    made, _ = opened(streams=True, **body)
    written = b"".join(made.events(piece) for piece in pieces)
    *blocks, rest = written.split(b"\n\n")
    assert rest == b""
    assert all(block.startswith(b"data: ") for block in blocks)
    return [json.loads(block[6:]) for block in blocks]


def parts_in(events):
    return [part for event in events for part in event["candidates"][0]["content"]["parts"]]


def test_the_events_of_a_text():
    found = streamed(TEXT)
    assert parts_in(found) == [{"text": "Wat"}, {"text": "er ü"}, {"text": ""}]
    assert all(event["modelVersion"] == "guide-1" and event["responseId"] == "the-id" for event in found)
    assert ["finishReason" in event["candidates"][0] for event in found] == [False, False, True]
    assert found[-1]["usageMetadata"] == {
        "promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10, "cachedContentTokenCount": 4,
    }  # fmt: skip


@pytest.mark.parametrize(("pieces", "texts"), [(CALLS, []), (MIXED, ["I look.", " Done."])])
def test_calls_of_a_stream_come_whole(pieces, texts):
    found = parts_in(streamed(pieces))
    assert [part["functionCall"] for part in found if "functionCall" in part] == [
        {"id": "call_a", "name": "flow", "args": {"river": "Inn"}},
        {"id": "call_b", "name": "level", "args": {"at": 2}},
    ]
    assert [part["text"] for part in found if part.get("text")] == texts


@pytest.mark.parametrize("name", STREAMS)
def test_streams_are_the_same_wherever_bytes_are_cut(name):
    together = b"".join(STREAMS[name])
    found = streamed([together])
    assert streamed([together[at : at + 1] for at in range(len(together))]) == found
    assert "finishReason" in found[-1]["candidates"][0]


def test_a_stream_that_breaks_off():
    found = streamed([*TEXT[:2], b'data: {"error": {"code": "TEMPORARILY_UNAVAILABLE", "message": "soon"}}\n\n', DONE])
    assert found[-1] == {"error": {"code": 503, "message": "soon", "status": "UNAVAILABLE"}}
    found = streamed([chunk(call(0, "flow", "no object", "call_a")), chunk({}, "tool_calls", usage()), DONE])
    (said,) = found
    assert (said["error"]["code"], said["error"]["status"]) == (500, "INTERNAL")


def test_errors_are_in_both_shapes():
    made, _ = opened()
    said = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": 'parameter "messages[2].content" is too long'}
    words = 'parameter "contents" is too long'
    assert json.loads(made.refusal(429, json.dumps(said).encode())) == {
        "error_code": "REQUEST_LIMIT_EXCEEDED", "message": words,
        "error": {"code": 429, "message": words, "status": "RESOURCE_EXHAUSTED"},
    }  # fmt: skip
