"""Which schemas have a value that ends."""

import pytest

from penstock_engine.schema_finite import has_end

SELF = {"$ref": "#"}


def holding(inner, **more):
    return {"type": "object", "properties": {"a": inner}, "required": ["a"], **more}


@pytest.mark.parametrize(
    "schema",
    [
        SELF,
        {"anyOf": [SELF]},
        {"allOf": [{"type": "string"}, SELF]},
        holding(SELF),
        holding({"anyOf": [SELF, holding(SELF)]}),
        holding({"type": "array", "items": SELF, "minItems": 1}),
        holding({"type": "array", "prefixItems": [{"type": "null"}, SELF], "minItems": 2}),
        {"type": "object", "required": ["b"], "additionalProperties": SELF},
        {**holding({"$ref": "#/$defs/x"}), "$defs": {"x": holding({"$ref": "#/$defs/y"}), "y": {"$ref": "#/$defs/x"}}},
        {"anyOf": [{"$ref": "#/anyOf/1"}, {"$ref": "#/anyOf/0"}]},
        {"oneOf": [False]},
    ],
)
def test_schemas_whose_values_hold_themselves_have_no_end(schema):
    assert not has_end(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"a": SELF}, "required": ["a"]},  # a value that is no object
        {**holding(SELF), "required": []},
        holding(SELF, type=["object", "null"]),
        holding({"anyOf": [SELF, {"type": "null"}]}),
        holding({"type": "array", "items": SELF}),
        holding({"type": "array", "prefixItems": [{"type": "null"}, SELF], "minItems": 1}),
        holding({"$ref": "#/elsewhere/b"}, elsewhere={"b": {"type": "null"}}),
        holding({"$ref": "https://example.org/x"}),
        {"const": {"a": SELF}},
        {
            "type": "object",
            "required": ["b"],
            "patternProperties": {".": {"type": "null"}},
            "additionalProperties": SELF,
        },
        {"type": 5, "required": 5, "allOf": 5, "minItems": "x", "prefixItems": 5},
    ],
)
def test_others_have_one(schema):
    assert has_end(schema)


def test_long_chains_are_left_to_the_answer():
    chain = {f"d{number}": {"$ref": f"#/$defs/d{number + 1}"} for number in range(500)}
    assert has_end({"$ref": "#/$defs/d0", "$defs": {**chain, "d500": {"type": "null"}}})
