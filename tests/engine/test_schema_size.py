"""How long the shortest value of a schema is, and how much longer one choice may make it."""

import json

import pytest

from penstock_engine.schema_size import largest_step, least

LONG = "b" * 40
SHORTEST = [
    ({"const": {"a": [1, "b"]}}, {"a": [1, "b"]}),
    ({"enum": ["a", "long one"]}, "long one"),
    ({"type": "boolean"}, False),
    ({"type": "integer", "minimum": 1000}, 1000),
    ({"type": "string", "minLength": 30}, "x" * 30),
    ({"type": "array", "minItems": 3, "items": {"const": "abc"}}, ["abc"] * 3),
    ({"type": "array", "minItems": 2, "prefixItems": [{"const": 1}], "items": {"const": "abc"}}, [1, "abc"]),
    ({"properties": {"a": {"$ref": "#/$defs/b"}}, "required": ["a"], "$defs": {"b": {"const": LONG}}}, {"a": LONG}),
    ({"anyOf": [{"const": 1}, {"const": "b" * 40}]}, "b" * 40),
    ({"allOf": [{"required": ["a" * 30]}, {"required": ["b" * 30]}]}, {"a" * 30: 0, "b" * 30: 0}),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value"), SHORTEST)
def test_a_shortest_value_is_not_longer_than_said(schema, value):
    assert least(schema) >= len(json.dumps(value))
    assert least(schema) <= 2 * len(json.dumps(value)) + 24


@pytest.mark.parametrize(
    ("schema", "choice"),
    [
        ({"type": "object", "properties": {"a" * 20: {"const": "b" * 20}}}, 20 + 20),
        ({"type": "array", "items": {"const": "b" * 20}}, 20),
        ({"type": "object", "additionalProperties": {"const": "b" * 20}}, 20),
        ({"anyOf": [{"const": 1}, {"const": "b" * 30}]}, 30),
        ({"$defs": {"a": {"enum": ["b" * 30]}}}, 30),
    ],
)
def test_a_choice_costs_no_more_than_said(schema, choice):
    assert choice <= largest_step(schema) <= choice + 16


def test_what_has_to_be_there_is_no_choice():
    needed = {"type": "object", "properties": {"a" * 90: {"const": "b" * 90}}, "required": ["a" * 90]}
    assert largest_step(needed) < 20


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#/anyOf/0"}, {"$ref": "#/nowhere"}]},
        {"required": "a", "enum": 5, "properties": [], "items": True, "minItems": "x", "anyOf": {}, "minLength": -4},
    ],
)
def test_schemas_that_need_themselves_or_make_no_sense_have_sizes_too(schema):
    assert 0 < least(schema) < 100
    assert 0 < largest_step(schema) < 100


def test_deep_and_large_schemas_are_measured_once():
    schema = {"const": 1}
    for _ in range(100):
        schema = {"anyOf": [schema, schema], "properties": {"a": schema}, "required": ["a"], "allOf": [schema]}
    assert least(schema) > 0
    assert largest_step(schema) <= 4096
