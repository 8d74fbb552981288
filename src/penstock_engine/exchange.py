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
from penstock_engine.grammar import Mind
from penstock_engine.parts import Text, message
from penstock_engine.refusal import BadRequest, Cancelled, StepFailed
from penstock_engine.sequence import Finish, Output, Sequence

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Sequence as Many

    from penstock_engine.adapter import Adapter
    from penstock_engine.answers import Usage
    from penstock_engine.engine_loop import EngineLoop
    from penstock_engine.guide import Guide
    from penstock_engine.intake import Order
    from penstock_engine.parts import Part
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
        adapter: Adapter | None = None,
        patience: float = 0.0,
        guides: Many[Guide] = (),
    ) -> None:
        """`adapter`: computed with it. `patience`: seconds for which its prompts let others pass that have less.

        `guides`: one for each answer.
        """
        self._order = order
        self._thinks = order.reading.mind is not Mind.NONE
        self._adapter = adapter.name if adapter else ""
        # Its keys and values are its own, and those of whatever had the name before are not.
        self._root = root(f"{namespace}\n{adapter.name}\n{adapter.folder}" if adapter else namespace)
        self._tokenizer = tokenizer
        self._engine = engine
        prefix = "chatcmpl_" if order.chat else "cmpl_"
        self._head = answers.Head(prefix + str(uuid.uuid4()), int(time.time()), model)
        self.choices = self._make_choices(time.monotonic() + patience, guides)
        self._parts: list[list[Part]] = [[] for _ in self.choices]
        self._open = len(self.choices)
        self._writer: answers.ChunkWriter | None = None
        self._shown = 0
        self._told_prompt = False
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
        thoughts = sum(choice.thoughts for choice in self.choices) if self._thinks else None
        return answers.usage(sum(processed.values()), said, sum(cached.values()), thoughts)

    async def whole(self) -> bytes:
        """Wait for the end and give the complete answer. Raises Cancelled, StepFailed, or BadRequest."""
        while not self.ended:
            self._news.clear()
            await self._news.wait()
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        choices = [self._whole_choice(choice, parts) for choice, parts in zip(self.choices, self._parts, strict=True)]
        kind = "chat.completion" if self._order.chat else answers.TEXT_OBJECT
        return answers.whole(self._head, kind, choices, self.usage())

    def _whole_choice(self, choice: Choice, parts: list[Part]) -> dict[str, Any]:
        scores = self._logprobs(choice)
        if self._order.chat:
            return answers.chat_choice(choice.index, message(parts), choice.reason, scores, choice.stop)
        text = self._echo(choice) + "".join(part.text for part in parts if isinstance(part, Text))
        return answers.text_choice(choice.index, text, choice.reason, scores, choice.stop)

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

    def _make_choices(self, deadline: float, guides: Many[Guide]) -> list[Choice]:
        order = self._order
        choices: list[Choice] = []
        for number, (prompt, terms) in enumerate(zip(order.prompts, order.terms, strict=True)):
            first: Sequence | None = None
            for which in range(order.n):
                sequence = Sequence(
                    prompt, terms, order.sampling, len(choices), first, root=self._root, adapter=self._adapter
                )
                sequence.deadline = deadline
                sequence.chooser.guide = guides[len(choices)] if guides else None
                first = first or sequence
                reading = order.reading
                detokenizer = self._tokenizer.detokenizer(None if order.chat else prompt, reading.marks)
                choice = Choice(
                    number * order.n + which, number, sequence, detokenizer, order.stops, reader=reading.reader()
                )
                sequence.listener = partial(self._heard, choice)
                choices.append(choice)
        return choices

    def _heard(self, choice: Choice, output: Output) -> None:
        """A step's output for one choice."""
        parts = choice.accept(output)
        if self._order.stream:
            self._write(choice, parts)
        else:
            self._parts[choice.index].extend(parts)
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

    def _write(self, choice: Choice, parts: list[Part]) -> None:
        """The events that an output of a stream's only choice gives."""
        failed = choice.finish in (Finish.CANCELLED, Finish.FAILED)
        if self._writer is None:
            if failed:
                return
            kind = answers.CHAT_CHUNK if self._order.chat else answers.TEXT_OBJECT
            sequence = choice.sequence
            self._writer = answers.ChunkWriter(
                self._head, kind, sequence.prompt_length, sequence.cached, thinks=self._thinks
            )
            if self._order.chat:
                self._chunks.append(self._writer.role())
            if echo := self._echo(choice):
                parts = [Text(echo + "".join(part.text for part in parts if isinstance(part, Text)))]
        self._writer.thoughts = choice.thoughts
        self._write_parts(self._writer, choice, parts)
        refusal = self._refusal()
        if refusal is not None:
            self._chunks.append(answers.error_event(refusal.code, str(refusal), self.usage()))
        elif choice.finish is not None:
            self._chunks.append(self._writer.finish(choice.reason, choice.tokens, choice.stop))
            self._chunks.append(answers.done(self.seconds))

    def _write_parts(self, writer: answers.ChunkWriter, choice: Choice, parts: list[Part]) -> None:
        """Parts, and with a text the scores of its tokens; scores of text that is held back wait with it."""
        for part in parts:
            scores = self._new_scores(choice) if isinstance(part, Text) else None
            self._chunks.append(writer.part(part, choice.tokens, scores))
        if choice.finish is not None and (scores := self._new_scores(choice)) is not None:
            self._chunks.append(writer.text("", choice.tokens, scores))

    def _new_scores(self, choice: Choice) -> dict[str, Any] | None:
        """Scores that were not told yet, None if there are none."""
        shown, self._shown = self._shown, len(choice.scores)
        prompt, self._told_prompt = not self._told_prompt, True
        news = self._shown > shown or (prompt and choice.sequence.terms.score_prompt)
        return self._logprobs(choice, shown, prompt=prompt) if news else None

    def _logprobs(self, choice: Choice, shown: int = 0, *, prompt: bool = True) -> dict[str, Any] | None:
        """Scores of the choice in the request's shape, without its first `shown`; the prompt's too."""
        terms = choice.sequence.terms
        if terms.top_logprobs is None:
            return None
        scores = choice.scores[shown:]
        if self._order.chat:
            return answers.chat_logprobs(scores, self._tokenizer.piece)
        tokens = [one.token for one in scores]
        if terms.score_prompt and prompt:
            asked = choice.sequence.tokens[: choice.sequence.prompt_length].tolist()
            both = [None, *choice.sequence.prompt_scores, *scores]
            found = answers.text_logprobs(both, asked + tokens, 0, self._tokenizer.piece)
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
            if any(choice.lost_form for choice in self.choices):
                return BadRequest("the form that is asked for became too complex to be followed")
            return StepFailed("the model's computation failed; the engine's log has the reason")
        if Finish.CANCELLED in found:
            return Cancelled("the request was cancelled")
        return None


def _nobody(_: Exchange) -> None:
    """Hears of an end before anything has started."""
