"""What every family's chats look like to its model, and where their answers end."""

import json

import pytest
from engine_fakes import byte_level, write_model
from family_templates import DEFAULT_PROMPT, FORMS, ONE, SYSTEM, conversation
from tokenizers import AddedToken

from penstock_engine.chat_template import ChatTemplate
from penstock_engine.intake import EmbeddingIntake, Intake
from penstock_engine.refusal import BadRequest
from penstock_engine.service import read_tokenizer

NAMES = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family, form in FORMS.items() for name in form.prompts]
)
def test_the_prompt_is_in_the_familys_form(family, name):
    form = FORMS[family]
    assert ChatTemplate(form.source, NAMES).render(conversation(name)) == form.prompts[name]


@pytest.mark.parametrize("family", [family for family, form in FORMS.items() if form.refused])
def test_the_familys_objections_are_told(family):
    for messages in FORMS[family].refused:
        with pytest.raises(BadRequest, match="roles"):
            ChatTemplate(FORMS[family].source, NAMES).render(messages)


def test_a_users_system_message_replaces_the_models_own_prompt():
    template = ChatTemplate(FORMS["DBRX"].source, NAMES)
    assert DEFAULT_PROMPT in template.render(ONE)
    assert DEFAULT_PROMPT not in template.render(SYSTEM + ONE)


@pytest.mark.parametrize("family", FORMS)
def test_an_answer_ends_where_a_turn_does(tmp_path, family):
    """Though the configuration names only the token that ends a whole text."""
    form, library = FORMS[family], byte_level()
    library.add_special_tokens([AddedToken(name, special=True) for name in ("<|im_end|>", "<|eot_id|>")])
    tokenizer, template = read_tokenizer(write_model(tmp_path, library, form.source))
    intake = Intake(tokenizer, template, 4000, 500)
    ends = {library.token_to_id(name) for name in ("</s>", *form.ends)}
    chat = intake.chat(json.dumps({"messages": ONE}).encode())
    assert chat.terms[0].ends == ends
    text = intake.completions(json.dumps({"prompt": "Hi"}).encode())
    assert text.terms[0].ends == {library.token_to_id("</s>")}


def test_a_turn_that_the_tokenizer_has_no_token_for_is_no_end(tmp_path):
    tokenizer, template = read_tokenizer(write_model(tmp_path, byte_level(), FORMS["Llama 3"].source))
    assert template.turn_ends == ("<|eot_id|>",)
    chat = Intake(tokenizer, template, 4000, 500).chat(json.dumps({"messages": ONE}).encode())
    assert chat.terms[0].ends == {1}


def test_a_tokenizer_larger_than_the_vocabulary_spoils_only_its_own_requests(tmp_path):
    """A token without a row would end the step of everybody who is computed beside it."""
    tokenizer, template = read_tokenizer(write_model(tmp_path, byte_level(), FORMS["Llama 3"].source))
    intake = Intake(tokenizer, template, 4000, 100)
    for ask, body in ((intake.chat, {"messages": ONE}), (intake.completions, {"prompt": "Tokens per second"})):
        with pytest.raises(BadRequest, match="which the model does not know"):
            ask(json.dumps(body).encode())
    with pytest.raises(BadRequest, match="which the model does not know"):
        EmbeddingIntake(tokenizer, 4000, 100).embeddings(json.dumps({"input": ["a", "Tokens per second"]}).encode())
