"""How much a body asks for, before anything of it is computed."""

import json

import pytest

from penstock.domain.model import Task
from penstock.web.openai.requests import read


def sized(task, **body):
    asked = read(task, json.dumps(body).encode())
    return asked.size, asked.counted, asked.prompts, asked.choices


@pytest.mark.parametrize(
    ("text", "size", "counted", "prompts"),
    [
        ("four", 4, False, 1),
        (["four", "three"], 9, False, 2),
        ([1, 2, 3], 3, True, 1),
        ([[1, 2, 3], [4]], 4, True, 2),
    ],
)
def test_texts_are_counted_and_so_is_what_is_in_them(text, size, counted, prompts):
    assert sized(Task.EMBEDDINGS, input=text) == (size, counted, prompts, 1)
    assert sized(Task.COMPLETIONS, prompt=text, n=3) == (size, counted, prompts, 3 * prompts)


def test_a_talk_is_one_prompt():
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert sized(Task.CHAT, messages=talk) == (11, False, 1, 1)
