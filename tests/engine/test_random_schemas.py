"""Whatever the schema: an answer parses and validates, or says that its tokens were used up.

hypothesis-jsonschema makes some, as values of a schema of schemas: whatever text and numbers, and bounds that exclude
each other. Others are made by strategies of our own, which can all be followed, and refer to themselves.
"""

import json
import os

import jsonschema
import pytest
from engine_fakes import byte_level, write_model
from grammar_runs import Holder, value_of
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema

from penstock_engine.refusal import BadRequest
from penstock_engine.service import read_tokenizer

SCHEMAS = int(os.environ.get("SCHEMAS", "100"))
MAX_TOKENS = 250
ANY = settings(max_examples=SCHEMAS, deadline=None, suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 1 << 30)
NAMES = st.text("abcdefgh_", min_size=1, max_size=6) | st.sampled_from(["", "$ref", "type", 'say "so"', "ü/~1", "🙂"])
SCALARS = st.none() | st.booleans() | st.integers(-999, 999) | st.text('abc "\\\nü🙂', max_size=5)
VALUES = st.recursive(
    SCALARS | st.integers(-(10**9), 10**9).map(lambda number: number / 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=4,
)
CLASSES = st.sampled_from([".", "[a-f]", "[^a-z]", r"\d", r"\w", "é", "(ab|c)", r"\."])
PATTERNS = st.lists(
    st.tuples(CLASSES, st.sampled_from(["", "?", "*", "+", "{1,3}"])).map("".join), min_size=1, max_size=3
)


def bounded(least, low, most, high):
    return st.fixed_dictionaries({}, optional={least: st.integers(*low), most: st.integers(*high)})


def joined(*parts):
    """One dictionary of several."""
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


LEAVES = st.one_of(
    st.sampled_from(["null", "boolean", "integer", "number", "string"]).map(lambda kind: {"type": kind}),
    joined(st.just({"type": "string"}), bounded("minLength", (0, 4), "maxLength", (4, 40))),
    st.tuples(st.sampled_from(["", "^"]), PATTERNS.map("".join), st.sampled_from(["", "$"])).map(
        lambda parts: {"type": "string", "pattern": "".join(parts)}
    ),
    st.sampled_from(["date", "time", "date-time", "uuid", "ipv4", "email"]).map(
        lambda form: {"type": "string", "format": form}
    ),
    joined(st.just({"type": "integer"}), bounded("minimum", (-999, 0), "maximum", (1, 999))),
    joined(st.just({"type": "number"}), bounded("minimum", (-9, 0), "exclusiveMaximum", (1, 99))),
    st.integers(2, 9).map(lambda number: {"type": "integer", "multipleOf": number}),
    VALUES.map(lambda value: {"const": value}),
    st.lists(VALUES, min_size=1, max_size=4).map(lambda values: {"enum": values}),
    st.lists(st.sampled_from(["null", "boolean", "string"]), min_size=1, max_size=3, unique=True).map(
        lambda kinds: {"type": kinds}
    ),
)


@st.composite
def objects(draw, inner):
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    required = [name for name in properties if draw(st.booleans())]
    more = draw(st.sampled_from([{}, {"additionalProperties": False}, {"additionalProperties": {"type": "boolean"}}]))
    return {"type": "object", "properties": properties, "required": required, **more}


def larger(inner):
    return st.one_of(
        objects(inner),
        inner.map(lambda schema: {"type": "object", "additionalProperties": schema}),
        joined(
            inner.map(lambda schema: {"type": "array", "items": schema}),
            bounded("minItems", (0, 2), "maxItems", (2, 5)),
        ),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda schemas: {"type": "array", "prefixItems": schemas, "items": False, "minItems": 1}
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda schemas: {"anyOf": schemas}),
    )


def referring(schema):
    """The schema by reference, in two places."""
    there = {"$ref": "#/$defs/one"}
    properties = {"here": there, "more": {"type": "array", "items": there, "maxItems": 3}}
    return {
        "type": "object",
        "properties": properties,
        "required": ["here"],
        "additionalProperties": False,
        "$defs": {"one": schema},
    }


def returning(schema):
    """The schema in every link of a chain, which points at itself."""
    link = {"type": "object", "properties": {"value": schema, "next": {"$ref": "#"}}, "required": ["value"]}
    return {**link, "additionalProperties": False}


def returning_or_null(schema):
    """The same, where every link says what comes next, as strict clients write it."""
    further = {"anyOf": [{"$ref": "#"}, {"type": "null"}]}
    link = {"type": "object", "properties": {"value": schema, "next": further}, "required": ["value", "next"]}
    return {**link, "additionalProperties": False}


PLAIN = st.recursive(LEAVES, larger, max_leaves=8)


def kind(name, **more):
    properties = {"type": {"const": name}, **more}
    return {"type": "object", "properties": properties, "required": ["type"], "additionalProperties": False}


def single(name, schema):
    return {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}


def schema_of_schemas(depth):
    """Of schemas that are so deep: hypothesis-jsonschema does not follow what refers to itself."""
    few, whole, number = {"type": "integer", "minimum": 0, "maximum": 9}, {"type": "integer"}, {"type": "number"}
    found = [
        *(
            kind("null"),
            kind("boolean"),
            kind("integer", minimum=whole, maximum=whole),
            kind("integer", multipleOf=few),
        ),
        kind("number", minimum=number, exclusiveMaximum=number),
        kind("string", minLength=few, maxLength=few),
        single("const", {}),
        single("enum", {"type": "array", "minItems": 1, "maxItems": 4}),
    ]
    if depth:
        inner = schema_of_schemas(depth - 1)
        many = {"type": "array", "items": inner, "minItems": 1, "maxItems": 3}
        named = {"type": "object", "additionalProperties": inner, "maxProperties": 3}
        names = {"type": "array", "items": {"type": "string"}, "maxItems": 2, "uniqueItems": True}
        more = {"anyOf": [{"type": "boolean"}, inner]}
        found += [
            kind("object", properties=named, required=names, additionalProperties=more),
            *(kind("array", items=inner, minItems=few, maxItems=few), kind("array", prefixItems=many, items=more)),
            *(single("anyOf", many), single("allOf", many)),
        ]
    return {"anyOf": found}


def shortened(found, constant=False):
    """With constants of a few digits: the last ones of longer numbers may come back changed."""
    if isinstance(found, dict):
        return {key: shortened(each, constant or key in {"const", "enum"}) for key, each in found.items()}
    if isinstance(found, list):
        return [shortened(each, constant) for each in found]
    if not constant or isinstance(found, bool) or not isinstance(found, int | float):
        return found
    return round(found % 10**9, 3)


@pytest.fixture(scope="module")
def holder(tmp_path_factory):
    tokenizer, _ = read_tokenizer(write_model(tmp_path_factory.mktemp("model"), byte_level()))
    return Holder(tokenizer)


def end_of(holder, schema, seed):
    """How an answer ended, which is what the schema says if it was complete."""
    ((text, finish),) = holder.answers(value_of(schema), max_tokens=MAX_TOKENS, seeds=[seed])
    event(str(finish))
    if finish == "stop":
        jsonschema.Draft202012Validator(schema).validate(json.loads(text))
    else:
        assert finish == "length"
    return finish


def test_answers_validate_or_end_by_their_length(holder):
    ends = []

    @ANY
    @given(PLAIN | PLAIN.map(referring) | PLAIN.map(returning) | PLAIN.map(returning_or_null), SEEDS)
    def holds(schema, seed):
        ends.append(end_of(holder, schema, seed))

    holds()
    assert ends.count("stop") >= 0.95 * len(ends)


def test_they_do_so_where_a_schema_is_whatever_it_may_be_or_it_is_refused(holder):
    ends, reasons = [], []

    @ANY
    @given(from_schema(schema_of_schemas(2)).map(shortened), SEEDS)
    def holds(schema, seed):
        try:
            ends.append(end_of(holder, schema, seed))
        except BadRequest as refused:
            reasons.append(str(refused))
            event("refused")

    holds()
    assert ends.count("stop") >= 0.5 * len(ends) >= 0.5 * len(reasons)
    assert all("response_format" in reason for reason in reasons)
