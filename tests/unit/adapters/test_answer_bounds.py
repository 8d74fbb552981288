"""The bound of an answer that a rate limit leaves, as each provider is told it."""

import json

import pytest

from penstock.adapters.providers import ai21_chat, anthropic_chat, bedrock_chat, cohere_chat, vertex_chat
from penstock.adapters.providers.chat_request import read_chat
from penstock.adapters.providers.entra import EntraTokens
from penstock.adapters.providers.openai_wire import OpenAiWire
from penstock.adapters.providers.wire import Patience, Wire
from penstock.domain.external_forms import ProviderKind
from penstock.domain.external_model import ExternalModel
from penstock.domain.model import Task
from penstock.domain.secret import Hidden
from penstock.ports.provider import ProviderCall
from penstock.testing.clock import FakeClock

OLD, NEW = "max_tokens", "max_completion_tokens"
TALK = {"messages": [{"role": "user", "content": "Hi"}]}
NOT_OLD = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
NO_ROOM = "This model's maximum context length is 4096 tokens. However, you requested 4200 tokens."


@pytest.fixture
async def provider():
    wire = Wire(Patience(), allow_private=True)
    yield OpenAiWire(wire, EntraTokens(wire, FakeClock()), allow_private=True)
    await wire.close()


async def ask(server, provider, most=50, task=Task.CHAT, **said):
    """What the server was sent for it, each a dictionary of the bounds; the status comes first."""
    model = ExternalModel("m", ProviderKind.OPENAI, task, {"openai_api_base": server.url})
    body = json.dumps((TALK if task is Task.CHAT else {"prompt": "Hi"}) | said).encode()
    del server.got[:]
    answer = await provider.open(ProviderCall(model, {"openai_api_key": Hidden("k")}, body, False, "r", most))
    answer.close()
    return answer.status, *({name: got.json[name] for name in (OLD, NEW) if name in got.json} for got in server.got)


def refuses(server, *words):
    for one in words:
        server.answer({"error": {"message": one}}, 400)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, {OLD: 50}),
        ({OLD: None}, {OLD: 50}),
        ({OLD: 9000}, {OLD: 50}),
        ({NEW: 9000}, {NEW: 50}),
        ({OLD: 9000, NEW: 9000}, {OLD: 50, NEW: 50}),
    ],
)
async def test_a_bound_has_the_name_that_the_client_gave_it(server, provider, said, expected):
    server.answer()
    assert await ask(server, provider, **said) == (200, expected)


async def test_without_a_limit_nothing_is_added_or_changed(server, provider):
    server.answer()
    assert await ask(server, provider, most=None) == (200, {})
    assert await ask(server, provider, most=None, **{NEW: 9000}) == (200, {NEW: 9000})


async def test_completions_are_bounded_where_the_client_does_it(server, provider):
    server.answer()
    assert await ask(server, provider, task=Task.COMPLETIONS) == (200, {})
    assert await ask(server, provider, task=Task.COMPLETIONS, **{OLD: 9000}) == (200, {OLD: 50})


async def test_a_model_that_has_another_name_for_it_is_told_that_from_then_on(server, provider):
    refuses(server, NOT_OLD)
    server.answer()
    assert await ask(server, provider) == (200, {OLD: 50}, {NEW: 50})
    assert await ask(server, provider) == (200, {NEW: 50})


async def test_where_the_prompt_leaves_less_room_the_answer_is_short_anyway(server, provider):
    refuses(server, NO_ROOM)
    server.answer()
    assert await ask(server, provider) == (200, {OLD: 50}, {})
    assert await ask(server, provider) == (200, {OLD: 50}), "the next prompt may be shorter"
    server.handlers.clear()
    refuses(server, "'max_tokens' is too large: 50", "'max_completion_tokens' is too large: 50")
    server.answer()
    assert await ask(server, provider) == (200, {OLD: 50}, {NEW: 50}, {})


async def test_what_the_client_said_is_refused_to_the_client(server, provider):
    refuses(server, NO_ROOM)
    assert await ask(server, provider, **{OLD: 9000}) == (400, {OLD: 50})
    server.handlers.clear()
    refuses(server, "messages must alternate")
    assert await ask(server, provider) == (400, {OLD: 50})


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (lambda chat: anthropic_chat.request_of(chat, "m", "Provider 'x'", streaming=False), ("max_tokens",)),
        (lambda chat: bedrock_chat.request_of(chat, "amazon", "Provider 'x'"), ("inferenceConfig", "maxTokens")),
        (lambda chat: vertex_chat.request_of(chat, "Provider 'x'"), ("generationConfig", "maxOutputTokens")),
        (lambda chat: cohere_chat.request_of(chat, "m", "Provider 'x'", streaming=False), ("max_tokens",)),
        (lambda chat: ai21_chat.request_of(chat, "m", "Provider 'x'", streaming=False), ("max_tokens",)),
    ],
)
@pytest.mark.parametrize("said", [{}, {OLD: 9000}, {NEW: 9000}, {OLD: 60, NEW: 9000}])
def test_translated_providers_are_told_in_their_words(words, where, said):
    body = json.dumps(TALK | said).encode()
    for most, expected in ((50, 50), (None, said.get(NEW, said.get(OLD)))):
        found = words(read_chat(body, most))
        for name in where:
            found = found.get(name, {})
        if expected is not None:
            assert found == expected
