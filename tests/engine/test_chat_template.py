"""Templates do what transformers' do, and no more: they come from strangers."""

import pytest
from engine_fakes import byte_level, write_model

from penstock_engine.chat_template import ChatTemplate, load
from penstock_engine.checkpoint import ModelFolder
from penstock_engine.errors import CheckpointError
from penstock_engine.refusal import BadRequest
from penstock_engine.tokenizer import Tokenizer

MESSAGES = [{"role": "user", "content": "<hi> & ü"}]
NAMES = {"bos_token": "<s>", "eos_token": "</s>"}


def render(source, messages=MESSAGES, extra=None):
    return ChatTemplate(source, NAMES).render(messages, extra)


@pytest.mark.parametrize(
    ("source", "prompt"),
    [
        ("{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m['content'] }}{% endfor %}", "<s>[user]<hi> & ü"),
        ("{% if add_generation_prompt %}A:{% endif %}", "A:"),
        ("  {% if true %}\n  x\n  {% endif %}\ny", "  x\ny"),
        ("{{ messages | tojson }}", '[{"role": "user", "content": "<hi> & ü"}]'),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{% generation %}{{ 1 + 1 }}{% endgeneration %}", "2"),
        ("{% if tools is none %}no tools{% endif %}{% if documents %}x{% endif %}", "no tools"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "1"),
        ("{{ strftime_now('%Y')[:2] }}", "20"),
        ("{{ enable_thinking }}{{ bos_token }}", "True<s>"),
    ],
)
def test_what_templates_may_do(source, prompt):
    assert render(source, extra={"enable_thinking": True, "bos_token": "replaced"}) == prompt


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "unsafe"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "100000 numbers"),
        ("{{ 'x' * 999999999 }}", "repeats"),
        ("{{ 10 ** 10 ** 10 }}", "powers"),
        ("{{ messages[5].content }}", "no element 5"),
        ("{{ 1 / 0 }}", "division"),
        ("{{ messages[0]['content'] + 1 }}", "str"),
    ],
)
def test_what_templates_may_not_do(source, reason):
    with pytest.raises(BadRequest, match=reason) as refused:
        render(source)
    assert str(refused.value).startswith("messages: ")


def test_a_prompt_that_grows_without_end_is_refused():
    with pytest.raises(BadRequest, match="longer than"):
        render("{% for i in range(99) %}{{ messages[0].content * 990000 }}{% endfor %}", [{"content": "x"}])


def test_a_broken_template_is_the_models_fault():
    with pytest.raises(CheckpointError, match="cannot be read"):
        ChatTemplate("{% for %}", {})
    with pytest.raises(CheckpointError, match="characters"):
        ChatTemplate("x" * 600_000, {})


def test_where_templates_are_found(tmp_path):
    def found():
        folder = ModelFolder.open(tmp_path)
        tokenizer = Tokenizer(folder)
        template = load(folder, tokenizer.config, tokenizer.names)
        return None if template is None else template.render(MESSAGES)

    write_model(tmp_path, byte_level(), chat_template=None)
    assert found() is None
    write_model(tmp_path, byte_level(), chat_template="one {{ eos_token }}")
    assert found() == "one </s>"
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "two"}]
    write_model(tmp_path, byte_level(), chat_template=named)
    assert found() == "two"
    (tmp_path / "chat_template.jinja").write_text("three")
    assert found() == "three"
