"""What an answer must look like, written as a grammar in llguidance's form of Lark."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from penstock_engine.reader import THINK, THOUGHT
from penstock_engine.refusal import BadRequest
from penstock_engine.schema_bounds import out_of_bounds
from penstock_engine.schema_finite import has_end
from penstock_engine.schema_size import largest_step, least, schemas_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from penstock_engine.tool_format import ToolFormat
    from penstock_engine.tools import Tools

MAX_SCHEMA = 256 * 1024
"""Characters of a schema."""
_JSON = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""One way to write a value: weak models would go on with white space for ever."""
_ANY = r"ANY: /(.|\n)*/"
_GAP = r"GAP: /[ \n]{1,4}/"


class Mind(Enum):
    """Whether an answer begins with thoughts."""

    NONE = auto()
    MAY = auto()
    """The model may begin them."""
    OPEN = auto()
    """The prompt has begun them."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A JSON schema of a request. `field`: where it stands there; not `strict`: what is not supported is read over."""

    field: str
    schema: dict[str, Any]
    strict: bool

    def with_options(self) -> dict[str, Any]:
        """The schema with how it is to be compiled, whatever the client says of that."""
        return {**self.schema, "x-guidance": _JSON if self.strict else {**_JSON, "lenient": True}}


@dataclass(frozen=True, slots=True)
class Grammar:
    """A grammar's text; `room`: characters by which one choice may put off the end of an answer."""

    text: str
    schemas: tuple[Schema, ...]
    mind: Mind
    room: int


def object_schema(field: str) -> Schema:
    """Any object."""
    return Schema(field, {"type": "object"}, strict=True)


def value_grammar(schema: Schema, mind: Mind, special: Mapping[str, int]) -> Grammar:
    """An answer that is a value of the schema. `special`: ids of special tokens. Raises BadRequest."""
    rules = ["body: value", f"value: {_json(schema)}"]
    return _grammar(rules, (schema,), mind, special, 0)


def calls_grammar(
    tools: Tools, form: ToolFormat, value: Schema | None, mind: Mind, special: Mapping[str, int]
) -> Grammar:
    """An answer that calls functions or, where they are not required, is a text or a value. Raises BadRequest."""
    schemas = tuple(
        Schema(f'tools" of function "{function.name}', function.schema, bool(function.strict))
        for function in tools.functions
    )
    rules = list(_calls(tools, form, schemas, special))
    marked = _terms(form.marker, form.words, special) + (' " "?' if form.marker in special else "")
    if tools.required:
        rules.append("body: calls" if form.bare else f"body: {marked} calls")
    elif value is not None:
        rules += [f"body: value | {marked} calls", f"value: {_json(value)}"]
        schemas = (value, *schemas)
    elif form.bare:
        rules += [f"body: PLAIN | calls | {marked} calls", r"PLAIN: /[^{ \n](.|\n)*/"]
    elif form.marker in special:
        rules += [f"body: ANY | ANY {marked} calls", _ANY]
    else:
        rules += ["body: ANY | head calls", f"head[lazy]: ANY {json.dumps(form.marker)}", _ANY]
    around = form.marker + form.opening + form.head + form.middle + form.tail + form.between + form.closing
    call = max(len(each.name or "") + least(each.schema) for each in tools.functions)
    return _grammar(rules, schemas, mind, special, len(around) + call)


def _calls(tools: Tools, form: ToolFormat, schemas: tuple[Schema, ...], special: Mapping[str, int]) -> Iterable[str]:
    def terms(text: str) -> str:
        return _terms(text, form.words, special)

    names = [f"call_{place}" for place in range(len(schemas))]
    several = form.parallel and tools.parallel
    more = f"({terms(form.between)} call)*" if several else ""
    yield f"calls: {terms(form.opening)} call {more} {terms(form.closing)}"
    yield f"call: {' | '.join(names)}"
    for name, function, schema in zip(names, tools.functions, schemas, strict=True):
        yield f"{name}: {terms(f'{form.head}{function.name}{form.middle}')} {name}_is {terms(form.tail)}"
        yield f"{name}_is: {_json(schema)}"


def _grammar(
    rules: list[str], schemas: tuple[Schema, ...], mind: Mind, special: Mapping[str, int], step: int
) -> Grammar:
    if mind is Mind.NONE:
        start = ["start: body"]
    else:
        opened = _terms(THINK, (THINK,), special)
        closed = f"<[{special[THOUGHT]}]>" if THOUGHT in special else json.dumps(THOUGHT)
        lazy = "" if THOUGHT in special else "[lazy]"
        start = [
            "start: thought GAP? body" if mind is Mind.OPEN else f"start: body | {opened} thought GAP? body",
            f"thought{lazy}: ANY {closed}",
            _GAP,
        ]
        if _ANY not in rules:
            start.append(_ANY)
    for schema in schemas:
        _check(schema)
    thoughts = 0 if mind is Mind.NONE else len(THINK + THOUGHT)
    room = thoughts + max(step, *(largest_step(schema.schema) for schema in schemas))
    return Grammar("\n".join([*start, *rules]) + "\n", schemas, mind, room)


def _terms(text: str, words: tuple[str, ...], special: Mapping[str, int]) -> str:
    """A text as terms of a rule; words of it that are special tokens stand as such."""
    own = [re.escape(word) for word in words if word in special]
    pieces = re.split(f"({'|'.join(own)})", text) if own else [text]
    return " ".join(f"<[{special[piece]}]>" if piece in special else json.dumps(piece) for piece in pieces if piece)


def _json(schema: Schema) -> str:
    try:
        text = json.dumps(schema.with_options())
    except RecursionError:
        raise BadRequest(f'parameter "{schema.field}" is nested too deeply') from None
    if len(text) > MAX_SCHEMA:
        raise BadRequest(f'parameter "{schema.field}" has {len(text)} characters; the limit is {MAX_SCHEMA}')
    return f"%json {text}"


def _check(schema: Schema) -> None:
    """Refuse what a grammar cannot promise: numbers, an end, and that keys it does not know differ from each other."""
    if bound := out_of_bounds(schema.schema):
        raise BadRequest(
            f'Invalid JSON schema - {bound:.80} leaves no integer of 64 bits (in parameter "{schema.field}")'
        )
    if not has_end(schema.schema):
        raise BadRequest(
            "Invalid JSON schema - Unsatisfiable schema: every value of it would hold a further one, without end "
            f'(in parameter "{schema.field}")'
        )
    for each in schemas_in(schema.schema) if schema.strict else ():
        least = each.get("minProperties")
        if isinstance(least, int) and least > 1 and each.get("additionalProperties") is not False:
            raise BadRequest(
                'Invalid JSON schema - the "minProperties" keyword above 1 is not supported unless '
                f'"additionalProperties" is false (in parameter "{schema.field}")'
            )
