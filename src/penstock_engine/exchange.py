"""One request under way: its choices, its stream, its end and what it has used."""

from __future__ import annotations

import asyncio
import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock_engine import answers
from penstock_engine.blocks import root
from penstock_engine.choice import Choice
from penstock_engine.refusal import Cancelled, StepFailed
from penstock_engine.sequence import Finish, Output, Sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock_engine.answers import Usage
    from penstock_engine.engine_loop import EngineLoop
    from penstock_engine.intake import Order
    from penstock_engine.refusal import Refusal
    from penstock_engine.tokenizer import Tokenizer


class Exchange:
    """Lives on the event loop; `usage` is right at any time. Prefixes are shared within `namespace` only."""

    def __init__(
        self,
        order: Order,
        model: str,
        tokenizer: Tokenizer,
        engine: EngineLoop,
        *,
        namespace: str = "",
        patience: float = 0.0,
    ) -> None:
        """`patience`: seconds for which its prompts let others pass that have less."""
        self._order = order
        self._root = root(namespace)
        self._tokenizer = tokenizer
        self._engine = engine
        prefix = "chatcmpl_" if order.chat else "cmpl_"
        self._head = answers.Head(prefix + str(uuid.uuid4()), int(time.time()), model)
        self.choices = self._make_choices(time.monotonic() + patience)
        self._texts: list[list[str]] = [[] for _ in self.choices]
        self._open = len(self.choices)
        self._writer: answers.ChunkWriter | None = None
        self._shown = 0
        self._offset = 0
        self._chunks: list[bytes] = []
        self._news = asyncio.Event()
        self._on_end: Callable[[Exchange], None] = _nobody
        self.over = asyncio.Event()
        """Set when every choice has ended."""

    def start(self, on_end: Callable[[Exchange], None]) -> None:
        """Queue everything; `on_end` is called once, when the last choice has ended. Raises QueueFull."""
        self._on_end = on_end
        self._engine.submit([choice.sequence for choice in self.choices])

    def cancel(self) -> None:
        """End everything within a step."""
        self._engine.cancel([choice.sequence for choice in self.choices])

    @property
    def ended(self) -> bool:
        """Whether every choice has ended."""
        return self._open == 0

    @property
    def seconds(self) -> float:
        """Of the device's time so far, this request's part."""
        return sum(choice.sequence.seconds for choice in self.choices)

    @property
    def outcome(self) -> str:
        """How the request ended: completed, or like the worst of its choices."""
        found = {choice.finish for choice in self.choices}
        return next((one.value for one in (Finish.FAILED, Finish.CANCELLED) if one in found), "completed")

    def usage(self) -> Usage:
        """Tokens processed so far: all of a prompt once an answer to it has begun, before that what was computed."""
        processed: dict[int, int] = {}
        cached: dict[int, int] = {}
        for choice in self.choices:
            sequence = choice.sequence
            done = max(sequence.computed, sequence.processed) if choice.tokens == 0 else sequence.prompt_length
            processed[choice.prompt] = max(processed.get(choice.prompt, 0), min(done, sequence.prompt_length))
            cached.setdefault(choice.prompt, sequence.cached)
        said = sum(choice.tokens for choice in self.choices)
        return answers.usage(sum(processed.values()), said, sum(cached.values()))

    async def whole(self) -> bytes:
        """Wait for the end and give the complete answer. Raises Cancelled or StepFailed."""
        while not self.ended:
            self._news.clear()
            await self._news.wait()
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        shape = answers.chat_choice if self._order.chat else answers.text_choice
        choices = [
            shape(
                choice.index,
                self._echo(choice) + "".join(texts),
                choice.finish or "",
                self._logprobs(choice),
                choice.stop,
            )
            for choice, texts in zip(self.choices, self._texts, strict=True)
        ]
        kind = "chat.completion" if self._order.chat else answers.TEXT_OBJECT
        return answers.whole(self._head, kind, choices, self.usage())

    async def begin(self) -> None:
        """Wait until a stream has something to say. Raises Cancelled or StepFailed if that never comes."""
        while not self._chunks and not self.ended:
            self._news.clear()
            await self._news.wait()
        refusal = self._refusal()
        if refusal is not None and not self._chunks:
            raise refusal

    async def chunks(self) -> bytes:
        """The events since the last call, as one piece; empty at the end."""
        while not self._chunks and not self.ended:
            self._news.clear()
            await self._news.wait()
        piece = b"".join(self._chunks)
        self._chunks.clear()
        return piece

    def _make_choices(self, deadline: float) -> list[Choice]:
        order = self._order
        choices: list[Choice] = []
        for number, (prompt, terms) in enumerate(zip(order.prompts, order.terms, strict=True)):
            first: Sequence | None = None
            for which in range(order.n):
                sequence = Sequence(prompt, terms, order.sampling, len(choices), first, root=self._root)
                sequence.deadline = deadline
                first = first or sequence
                detokenizer = self._tokenizer.detokenizer(None if order.chat else prompt)
                choice = Choice(number * order.n + which, number, sequence, detokenizer, order.stops)
                sequence.listener = partial(self._heard, choice)
                choices.append(choice)
        return choices

    def _heard(self, choice: Choice, output: Output) -> None:
        """A step's output for one choice."""
        text = choice.accept(output)
        if self._order.stream:
            self._write(choice, text)
        else:
            self._texts[choice.index].append(text)
        if choice.ended:
            self._open -= 1
            choice.sequence.listener = None
            if choice.sequence.finish is None:
                self._engine.cancel([choice.sequence])
        if self._order.stream or not self._open:
            self._news.set()
        if not self._open:
            self.over.set()
            self._on_end(self)

    def _write(self, choice: Choice, text: str) -> None:
        """The events that an output of a stream's only choice gives."""
        failed = choice.finish in (Finish.CANCELLED, Finish.FAILED)
        if self._writer is None:
            if failed:
                return
            kind = answers.CHAT_CHUNK if self._order.chat else answers.TEXT_OBJECT
            self._writer = answers.ChunkWriter(self._head, kind, choice.sequence.prompt_length, choice.sequence.cached)
            if self._order.chat:
                self._chunks.append(self._writer.role())
            text = self._echo(choice) + text
        if choice.sequence.terms.top_logprobs is not None:
            self._write_scored(choice, text)
        elif text:
            self._chunks.append(self._writer.text(text, choice.tokens))
        refusal = self._refusal()
        if refusal is not None:
            self._chunks.append(answers.error_event(refusal.code, str(refusal), self.usage()))
        elif choice.finish is not None:
            self._chunks.append(self._writer.finish(choice.finish, choice.tokens, choice.stop))
            self._chunks.append(answers.done(self.seconds))

    def _write_scored(self, choice: Choice, text: str) -> None:
        """Text with the scores of its tokens; scores of text that is held back wait with it."""
        if self._writer is None or not (text or (choice.finish is not None and self._shown < len(choice.scores))):
            return
        self._chunks.append(self._writer.text(text, choice.tokens, self._logprobs(choice, self._shown)))
        self._shown = len(choice.scores)

    def _logprobs(self, choice: Choice, shown: int = 0) -> dict[str, Any] | None:
        """Scores of the choice in the request's shape, without the first `shown` of the answer."""
        terms = choice.sequence.terms
        if terms.top_logprobs is None:
            return None
        scores = choice.scores[shown:]
        if self._order.chat:
            return answers.chat_logprobs(scores, self._tokenizer.piece)
        tokens = [one.token for one in scores]
        if terms.score_prompt and shown == 0:
            prompt = choice.sequence.tokens[: choice.sequence.prompt_length].tolist()
            both = [None, *choice.sequence.prompt_scores, *scores]
            found = answers.text_logprobs(both, prompt + tokens, 0, self._tokenizer.piece)
        else:
            found = answers.text_logprobs(scores, tokens, self._offset, self._tokenizer.piece)
        if found["text_offset"]:
            self._offset = found["text_offset"][-1] + len(found["tokens"][-1]) if self._order.stream else 0
        return found

    def _echo(self, choice: Choice) -> str:
        """The prompt's text, where the request wants it before the answer."""
        if not self._order.echo:
            return ""
        return self._tokenizer.decode(choice.sequence.tokens[: choice.sequence.prompt_length].tolist())

    def _refusal(self) -> Refusal | None:
        found = {choice.finish for choice in self.choices}
        if Finish.FAILED in found:
            return StepFailed("the model's computation failed; the engine's log has the reason")
        if Finish.CANCELLED in found:
            return Cancelled("the request was cancelled")
        return None


def _nobody(_: Exchange) -> None:
    """Hears of an end before anything has started."""
