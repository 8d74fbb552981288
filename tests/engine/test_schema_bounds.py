"""Bounds beyond the integers of 64 bits: llguidance dies of some, and takes others for what they are not."""

import pytest
from grammar_runs import value_of

from penstock_engine.refusal import BadRequest
from penstock_engine.schema_bounds import out_of_bounds

FAR = 10**25


@pytest.mark.parametrize(
    ("schema", "bound"),
    [
        ({"type": "integer", "minimum": -FAR, "maximum": -FAR}, f'"maximum" -{FAR}'),
        ({"minimum": -1e300, "exclusiveMaximum": -1e20}, '"exclusiveMaximum" -1e+20'),
        ({"type": "integer", "minimum": -(2**63), "maximum": -(2**63)}, f'"maximum" -{2**63}'),
        ({"allOf": [{"type": "integer", "minimum": -FAR}, {"maximum": -FAR}]}, f'"maximum" -{FAR}'),
        ({"$ref": "#/enum/0", "enum": [{"type": "integer", "maximum": -FAR}]}, f'"maximum" -{FAR}'),
        ({"type": "integer", "exclusiveMinimum": FAR}, f'"exclusiveMinimum" {FAR}'),
        ({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, ""),
        ({"type": "number", "minimum": -1e300, "maximum": 1e300}, ""),
        ({"properties": {"maximum": {"type": "integer"}}}, ""),
    ],
)
def test_what_leaves_no_integer_of_64_bits_is_found(schema, bound):
    assert out_of_bounds(schema) == bound


def test_it_is_refused_by_name_before_anything_is_compiled():
    with pytest.raises(
        BadRequest, match=r'"maximum" -1000.* leaves no integer of 64 bits \(in parameter "response_format"'
    ):
        value_of({"anyOf": [{"type": "integer", "minimum": -FAR, "maximum": -FAR}]})
