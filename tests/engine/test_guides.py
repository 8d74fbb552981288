"""What a model must not say it does not say, and what must be said is said in time."""

import json
import threading

import numpy as np
import pytest
from engine_fakes import byte_fallback, byte_level, word_piece, write_model
from grammar_runs import PROMPT, WIDTH, Holder, value_of

from penstock_engine.engine_loop import EngineLoop
from penstock_engine.grammar import Mind, calls_grammar
from penstock_engine.grammars import Grammars
from penstock_engine.metrics import Metrics
from penstock_engine.refusal import BadRequest
from penstock_engine.sampling import Sampling
from penstock_engine.sequence import Finish, Sequence, Terms
from penstock_engine.service import read_tokenizer
from penstock_engine.tool_format import HERMES, LLAMA, MISTRAL, MISTRAL_ARGS
from penstock_engine.tools import Function, Tools

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 300},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "bb", "ccc"]}, "minItems": 1},
        "more": {"type": "object"},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
TREE = {
    "type": "object",
    "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "value": {"type": "integer"}},
    "required": ["value"],
    "additionalProperties": False,
}
LEAF = {"type": "object", "properties": {"is": {"const": "leaf"}}, "required": ["is"], "additionalProperties": False}
RETURNING = [
    {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
        "additionalProperties": False,
    },
    {
        "anyOf": [
            {
                "type": "object",
                "properties": {"is": {"const": "node"}, "in": {"$ref": "#"}},
                "required": ["is", "in"],
                "additionalProperties": False,
            },
            LEAF,
        ]
    },
    {"anyOf": [{"type": "array", "items": {"$ref": "#"}, "minItems": 1}, LEAF]},
]
"""What is the quickest letter by itself may lead into a further value of the same."""
SEEDS = range(8)


def holder_of(folder, made, width=WIDTH):
    tokenizer, _ = read_tokenizer(write_model(folder, made))
    return Holder(tokenizer, width)


@pytest.fixture(scope="module")
def level(tmp_path_factory):
    return holder_of(tmp_path_factory.mktemp("level"), byte_level())


@pytest.fixture(scope="module", params=[byte_level, byte_fallback])
def holder(request, tmp_path_factory):
    return holder_of(tmp_path_factory.mktemp("model"), request.param())


def fits(person):
    assert set(person) <= set(PERSON["properties"])
    assert 2 <= len(person["name"]) <= 300
    assert 0 <= person["age"] <= 150
    assert person["tags"]
    assert set(person["tags"]) <= {"a", "bb", "ccc"}


@pytest.mark.parametrize("max_tokens", [70, 100, 160])
def test_answers_are_complete_before_their_tokens_are_used_up(holder, max_tokens):
    for person in holder.values(PERSON, seeds=SEEDS, max_tokens=max_tokens):
        fits(person)


@pytest.mark.parametrize("schema", [{"type": "object"}, TREE, {"type": "array"}, {"type": "string"}, {}])
def test_open_ended_values_come_to_an_end_too(level, schema):
    for temperature in (0.0, 1.0, 2.0):
        level.values(schema, seeds=SEEDS, max_tokens=40, temperature=temperature)


@pytest.mark.parametrize("schema", RETURNING)
@pytest.mark.parametrize("max_tokens", [60, 150])
def test_values_that_hold_further_ones_come_to_an_end_too(level, schema, max_tokens):
    level.values(schema, seeds=range(24), max_tokens=max_tokens, temperature=2.0)
    for letters in ("{[", "{n"):
        onward = tuple((level.tokenizer.encode(letter, special=False)[0], 50.0) for letter in letters)
        level.values(schema, seeds=range(4), max_tokens=max_tokens, logit_bias=onward)


def test_what_cannot_be_said_in_so_few_tokens_ends_by_their_number(level):
    ((text, finish),) = level.answers(value_of(PERSON), max_tokens=6)
    assert finish == "length"
    assert '{"name": "'.startswith(text[:10])


def test_a_seed_repeats_whatever_else_runs(level):
    alone = [level.answers(value_of(PERSON), seeds=[seed], max_tokens=100)[0] for seed in SEEDS]
    assert level.answers(value_of(PERSON), seeds=SEEDS, max_tokens=100) == alone
    assert len({text for text, _ in alone}) == len(alone)


@pytest.mark.parametrize("how", [{"top_k": 5}, {"top_p": 0.5}, {"repetition_penalty": 1.5, "temperature": 0.0}])
def test_other_ways_of_choosing_keep_to_it_too(level, how):
    for person in level.values(PERSON, seeds=SEEDS, max_tokens=120, **how):
        fits(person)


def test_a_bias_does_not_break_out(level):
    brace = level.tokenizer.encode("}", special=False)[0]
    for person in level.values(PERSON, seeds=SEEDS, max_tokens=120, logit_bias=((int(brace), 100.0),)):
        fits(person)


@pytest.mark.parametrize("mind", [Mind.OPEN, Mind.MAY])
def test_thoughts_come_to_an_end_as_well(level, mind):
    for text, finish in level.answers(value_of(PERSON, mind), seeds=SEEDS, max_tokens=150):
        assert finish == "stop"
        thought, closed, value = text.rpartition("</think>")
        assert bool(closed) or mind is Mind.MAY
        assert mind is Mind.OPEN or not thought or thought.startswith("<think>")
        fits(json.loads(value))


WEATHER = Function(name="weather", parameters=PERSON)
PING = Function(name="ping")


@pytest.mark.parametrize("form", [HERMES, LLAMA, MISTRAL, MISTRAL_ARGS])
@pytest.mark.parametrize("parallel", [True, False])
def test_calls_that_are_required_are_calls(level, form, parallel):
    from penstock_engine.parts import Arguments, Call, Text
    from penstock_engine.reader import Reader

    tools = Tools([WEATHER, PING], required=True, parallel=parallel)
    grammar = calls_grammar(tools, form, None, Mind.NONE, {})
    names = set()
    for text, finish in level.answers(grammar, seeds=range(16), max_tokens=500, temperature=30.0):
        assert finish == "stop", text
        reader = Reader(form)
        parts = [*reader.push(text), *reader.flush()]
        calls = [part for part in parts if isinstance(part, Call)]
        assert not [part for part in parts if isinstance(part, Text)]
        assert 1 <= len(calls) == reader.calls
        assert len(calls) == 1 or (parallel and form.parallel)
        names |= {call.name for call in calls}
        for one in calls:
            arguments = json.loads(
                "".join(p.text for p in parts if isinstance(p, Arguments) and p.number == one.number)
            )
            assert isinstance(arguments, dict)
            if one.name == "weather":
                fits(arguments)
    assert names == {"weather", "ping"}


@pytest.mark.parametrize("form", [HERMES, LLAMA, MISTRAL])
def test_a_text_or_a_call_is_what_it_began_as(level, form):
    tools = Tools([WEATHER], required=False, parallel=True)
    grammar = calls_grammar(tools, form, None, Mind.NONE, {})
    texts = level.answers(grammar, seeds=SEEDS, max_tokens=30)
    assert all(not text.startswith("{") or not form.bare for text, _ in texts)
    guide = level.guides(grammar, 200)[0]
    begin = form.marker if not form.bare else '{"name": "'
    for token in level.tokenizer.encode(f"Well. {begin}" if not form.bare else begin, special=False).tolist():
        assert not guide.forbidden[token], level.tokenizer.piece(token)
        guide._advance(token)
    allowed = {level.tokenizer.piece(int(token)) for token in np.flatnonzero(~guide.forbidden)}
    wanted = (form.opening or form.head) if not form.bare else "weather"
    assert allowed
    assert all(
        wanted.encode().startswith(piece) or piece.startswith(wanted.encode()) or piece == b" " for piece in allowed
    )


def test_special_tokens_are_markers_where_the_model_has_them(tmp_path):
    made = byte_level()
    made.add_special_tokens(["[TOOL_CALLS]"])
    held = holder_of(tmp_path, made, WIDTH + 1)
    special = held.tokenizer.special_ids
    tools = Tools([PING], required=True, parallel=False)
    ((text, finish),) = held.answers(calls_grammar(tools, MISTRAL, None, Mind.NONE, special))
    assert (text.replace("] [", "]["), finish) == ('[TOOL_CALLS][{"name": "ping", "arguments": {}}]', "stop")
    guide = held.guides(calls_grammar(tools, MISTRAL, None, Mind.NONE, special), 50)[0]
    assert np.flatnonzero(~guide.forbidden).tolist() == [special["[TOOL_CALLS]"]]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array", "uniqueItems": True}, 'the "uniqueItems" keyword is not supported'),
        ({"not": {"type": "string"}}, 'the "not" keyword is not supported'),
        ({"type": "object", "properties": {"a": {"if": {}}}}, 'the "if" keyword is not supported'),
        ({"type": "string", "format": "iban"}, 'the "format" iban is not supported'),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 'the "oneOf" keyword is supported only'),
        ({"type": "object", "minProperties": 2}, 'the "minProperties" keyword above 1'),
        ({"type": "strin"}, "Invalid JSON schema - "),
        ({"type": "string", "pattern": "(?=a)b"}, 'the "pattern" (?=a)b cannot be read: look-around'),
        ({"type": "string", "pattern": "("}, 'the "pattern" ( cannot be read: unclosed group'),
        ({"$ref": "#"}, "Unsatisfiable schema: every value of it would hold a further one"),
        (
            {"properties": {"a": {"$ref": "#"}}, "required": ["a"], "type": "object"},
            "Unsatisfiable schema: every value",
        ),
        ({"type": "integer", "minimum": 5, "maximum": 4}, "Invalid JSON schema - "),
        ({"$ref": "https://example.org/x"}, "Invalid JSON schema - "),
    ],
)
def test_what_is_not_supported_is_named(level, schema, words):
    with pytest.raises(BadRequest) as refused:
        level.guides(value_of(schema), 10)
    assert words in str(refused.value)
    assert 'parameter "response_format"' in str(refused.value)


def test_of_several_tools_the_wrong_one_is_named_and_those_that_are_not_strict_are_read_over(level):
    odd = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    tools = Tools([PING, Function(name="odd", parameters=odd, strict=True)], required=True, parallel=True)
    with pytest.raises(BadRequest, match='function "odd"'):
        level.guides(calls_grammar(tools, HERMES, None, Mind.NONE, {}), 10)
    loose = Tools([Function(name="odd", parameters=odd)], required=True, parallel=False)
    assert level.guides(calls_grammar(loose, HERMES, None, Mind.NONE, {}), 50)[0].failed is False


def test_a_tokenizer_of_words_is_refused(tmp_path):
    tokenizer, _ = read_tokenizer(write_model(tmp_path, word_piece()))
    with pytest.raises(BadRequest, match="cannot be held to a form"):
        Grammars(tokenizer, WIDTH).guides(value_of({}), [Terms(max_tokens=10)])


def test_grammars_are_compiled_once(level, monkeypatch):
    schema = {"type": "object", "properties": {"only": {"const": "once"}}}
    level.guides(value_of(schema), 10)
    monkeypatch.setattr("llguidance.LLMatcher", None)
    assert len(level.guides(value_of(schema), 10, 20)) == 2


def test_a_mask_that_takes_long_holds_nobody_else_up(level):
    loop = EngineLoop(level.decoder, Metrics(), max_running=4, max_queue=8, prefill_chunk=64, on_fatal=lambda: None)
    slow = Sequence(PROMPT, Terms(max_tokens=30, ends=level.tokenizer.ends), Sampling(seed=1))
    quick = Sequence(PROMPT, Terms(max_tokens=12), Sampling(seed=1))
    slow.chooser.guide = level.guides(value_of({"type": "string"}), 30)[0]
    gate = threading.Event()
    submit = loop.masks.submit
    loop.masks.submit = lambda work: submit(lambda: (gate.wait(30), work()))
    loop.submit([slow, quick])
    while quick.finish is None:
        loop.step()
    assert (slow.generated, quick.generated) == (1, 12)
    gate.set()
    while slow.finish is None:
        loop.step()
    alone = level.answers(value_of({"type": "string"}), seeds=[1], max_tokens=30)
    assert (level.text(slow), slow.finish) == alone[0]
    loop.stop()


def test_a_guide_that_fails_ends_its_answer_alone(level):
    loop = EngineLoop(level.decoder, Metrics(), max_running=4, max_queue=8, prefill_chunk=64, on_fatal=lambda: None)
    broken, whole = (
        Sequence(PROMPT, Terms(max_tokens=10, ends=level.tokenizer.ends, ignore_ends=True), Sampling(seed=1))
        for _ in range(2)
    )
    broken.chooser.guide = level.guides(value_of({"type": "string"}), 10)[0]
    broken.chooser.guide.failed = True
    loop.submit([broken, whole])
    while whole.finish is None:
        loop.step()
    assert (broken.finish, whole.finish) == (Finish.FAILED, Finish.LENGTH)
    loop.stop()
