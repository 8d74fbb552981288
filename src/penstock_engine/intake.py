"""From a checked request to what the engine has to compute: prompts as tokens, limits as numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from penstock_engine import wire
from penstock_engine.grammar import Grammar, Mind, value_grammar
from penstock_engine.infill import Infill
from penstock_engine.refusal import BadRequest
from penstock_engine.sampling import Sampling
from penstock_engine.sequence import Terms
from penstock_engine.talk import PLAIN, Reading, Talker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from penstock_engine.chat_template import ChatTemplate
    from penstock_engine.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Order:
    """One request, ready to be computed."""

    prompts: list[NDArray[np.int64]]
    terms: list[Terms]
    """One for each prompt: what fits into the context depends on its length."""
    sampling: Sampling
    n: int
    stops: tuple[str, ...]
    stream: bool
    chat: bool
    echo: bool
    reading: Reading = PLAIN
    grammar: Grammar | None = None
    """What every answer is held to."""


class Intake:
    """Knows the model's limits and words. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate | None, context: int, vocab_size: int) -> None:
        """`context`: most tokens of prompt and answer together, which the KV cache may make less than the model's."""
        self._tokenizer = tokenizer
        self._talker = None if template is None else Talker(template, tokenizer.special_ids)
        self._turn_ends = tokenizer.ids_of(template.turn_ends if template else ())
        self._infill = Infill(tokenizer)
        self._context = context
        self._vocab_size = vocab_size

    def chat(self, body: bytes) -> Order:
        """Parse, render and tokenize a chat request. Raises BadRequest."""
        request = wire.chat(body)
        if self._talker is None:
            raise BadRequest(
                "this model has no chat template, so it cannot answer chats: ask for completions, or register it again "
                "with a tokenizer that has a chat_template"
            )
        talk = self._talker.talk(request)
        prompt = self._tokenizer.encode(talk.prompt, special=False)
        asked = request.max_completion_tokens if request.max_tokens is None else request.max_tokens
        top = request.top_logprobs or 0 if request.logprobs else None
        order = self._order(request, [prompt], "messages", asked, top, more_ends=self._turn_ends)
        return replace(order, chat=True, reading=talk.reading, grammar=talk.grammar)

    def completions(self, body: bytes) -> Order:
        """Parse and tokenize a completion request. Raises BadRequest."""
        request = wire.completions(body)
        prompts = self._tokens(wire.listed(request.prompt, "prompt"), "prompt")
        more: frozenset[int] = frozenset()
        if request.suffix:
            prompts = [self._infill.prompt(prompt, request.suffix) for prompt in prompts]
            more = self._infill.ends
        form = wire.asked_form(request)
        grammar = None if form is None else value_grammar(form, Mind.NONE, self._tokenizer.special_ids)
        return replace(
            self._order(request, prompts, "prompt", request.max_tokens, request.logprobs, more_ends=more),
            grammar=grammar,
        )

    def _order(
        self,
        request: wire.Generation,
        prompts: list[NDArray[np.int64]],
        field: str,
        asked: int | None,
        top: int | None,
        *,
        more_ends: frozenset[int] = frozenset(),
    ) -> Order:
        echo = isinstance(request, wire.CompletionRequest) and bool(request.echo)
        whole = isinstance(request, wire.CompletionRequest) and request.error_behavior == "error"
        terms = []
        for prompt in prompts:
            room = self._room(prompt, field, asked)
            if whole and asked is not None and asked > room:
                raise BadRequest(
                    f'parameter "max_tokens" is {asked}, but {room} tokens fit after the prompt: ask for fewer, or '
                    'with "error_behavior" "truncate" for as many as fit'
                )
            most = min(room, self._context if asked is None else asked)
            terms.append(
                Terms(
                    max_tokens=most,
                    min_tokens=min(request.min_tokens or 0, most),
                    ends=self._tokenizer.ends | more_ends,
                    ignore_ends=bool(request.ignore_eos),
                    top_logprobs=top,
                    score_prompt=echo and top is not None,
                )
            )
        return Order(
            prompts=prompts,
            terms=terms,
            sampling=self._sampling(request),
            n=request.n or 1,
            stops=wire.stops(request),
            stream=bool(request.stream),
            chat=False,
            echo=echo,
        )

    def _room(self, prompt: NDArray[np.int64], field: str, asked: int | None) -> int:
        """Tokens that fit after the prompt. Raises BadRequest where the prompt itself is empty or does not fit."""
        if not len(prompt):
            raise BadRequest(f'parameter "{field}" is empty: it has no tokens')
        known(prompt, field, self._vocab_size)
        room = self._context - len(prompt)
        if room < (0 if asked == 0 else 1):
            raise BadRequest(
                f'parameter "{field}" has {len(prompt)} tokens; the context length is {self._context} tokens, '
                "prompt and answer together"
            )
        return room

    def _sampling(self, request: wire.Generation) -> Sampling:
        return Sampling(
            temperature=1.0 if request.temperature is None else request.temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            top_k=request.top_k or 0,
            seed=request.seed,
            presence_penalty=request.presence_penalty or 0.0,
            frequency_penalty=request.frequency_penalty or 0.0,
            repetition_penalty=request.repetition_penalty or 1.0,
            logit_bias=wire.logit_bias(request, self._vocab_size),
        )

    def _tokens(self, prompts: list[str] | list[list[int]], field: str) -> list[NDArray[np.int64]]:
        return tokens(self._tokenizer, prompts, field, self._vocab_size)


class EmbeddingIntake:
    """Knows the limits of an embedding model. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer, context: int, vocab_size: int) -> None:
        self._tokenizer = tokenizer
        self._context = context
        self._vocab_size = vocab_size

    def embeddings(self, body: bytes) -> list[NDArray[np.int64]]:
        """Parse an embedding request and tokenize its inputs. Raises BadRequest."""
        request = wire.embeddings(body)
        prompts = wire.listed(request.input, "input")
        if request.instruction:
            prompts = [
                f"{request.instruction} {text}" if isinstance(text, str) else _no_instruction() for text in prompts
            ]
        inputs = tokens(self._tokenizer, prompts, "input", self._vocab_size)
        for index, found in enumerate(inputs):
            where = "input" if len(inputs) == 1 else f"input[{index}]"
            if not len(found):
                raise BadRequest(f'parameter "{where}" is empty: it has no tokens')
            known(found, where, self._vocab_size)
            if len(found) > self._context:
                raise BadRequest(
                    f'parameter "{where}" has {len(found)} tokens; the context length is {self._context} tokens'
                )
        return inputs


def _no_instruction() -> NoReturn:
    raise BadRequest('parameter "instruction" needs "input" to be text, not tokens')


def tokens(
    tokenizer: Tokenizer, prompts: list[str] | list[list[int]], field: str, vocab_size: int
) -> list[NDArray[np.int64]]:
    """Texts are tokenized, token lists are checked and taken as they are. Raises BadRequest."""
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    if texts:
        return tokenizer.encode_all(texts, special=True)
    found = []
    for prompt in prompts:
        ids = np.array([id_ for id_ in prompt if isinstance(id_, int) and id_ < vocab_size], np.int64)
        if len(ids) != len(prompt):
            raise BadRequest(f'parameter "{field}" has unknown tokens; the last known is {vocab_size - 1}')
        found.append(ids)
    return found


def known(prompt: NDArray[np.int64], field: str, vocab_size: int) -> None:
    """Raises BadRequest if a tokenizer of its own gave a token that the model has no row for."""
    if (last := int(prompt.max())) >= vocab_size:
        raise BadRequest(
            f'parameter "{field}" has the token {last}, which the model does not know: its tokenizer is larger than '
            f"its vocabulary of {vocab_size}"
        )
