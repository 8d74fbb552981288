"""What is asked of every family on every engine: a call of a tool, and an answer in a form."""

import json

import jsonschema

SCHEMA = {
    "type": "object",
    "properties": {"river": {"type": "string", "maxLength": 9}, "days": {"type": "integer", "minimum": 1}},
    "required": ["river", "days"],
    "additionalProperties": False,
}
ASK = {"messages": [{"role": "user", "content": "How much?"}], "max_tokens": 400, "seed": 3}
CALL = ASK | {
    "tools": [{"type": "function", "function": {"name": "flow", "parameters": SCHEMA, "strict": True}}],
    "tool_choice": "required",
}
HELD = ASK | {
    "response_format": {"type": "json_schema", "json_schema": {"name": "flow", "schema": SCHEMA}},
    "logprobs": True,
    "top_logprobs": 2,
}


def check_call(choice):
    """Of an answer to CALL."""
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"]
    for call in choice["message"]["tool_calls"]:
        assert call["function"]["name"] == "flow"
        jsonschema.validate(json.loads(call["function"]["arguments"]), SCHEMA)


def check_held(choice):
    """Of an answer to HELD."""
    assert choice["finish_reason"] == "stop"
    jsonschema.validate(json.loads(choice["message"]["content"]), SCHEMA)
    assert all(len(entry["top_logprobs"]) == 2 for entry in choice["logprobs"]["content"])
