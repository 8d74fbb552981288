"""One of a request's answers as text: from a sequence's outputs to what the client reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock_engine.detokenizer import StopFilter
from penstock_engine.parts import Text
from penstock_engine.sequence import Finish

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from penstock_engine.detokenizer import Detokenizer
    from penstock_engine.logprobs import Scores
    from penstock_engine.parts import Part
    from penstock_engine.reader import Reader
    from penstock_engine.sequence import Output, Sequence


class Choice:
    """Text, scores and end of one answer. Lives on the event loop."""

    __slots__ = (
        "_detokenizer", "_min_tokens", "_reader", "_stops", "finish", "index", "prompt", "scores", "sequence",
        "thoughts", "tokens",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        prompt: int,
        sequence: Sequence,
        detokenizer: Detokenizer,
        stops: Many[str],
        *,
        reader: Reader | None = None,
    ) -> None:
        """`index`: number of the choice in the answer; `prompt`: number of the prompt that it answers.

        `reader`: takes the text apart; None where all of it is text.
        """
        self.index = index
        self.prompt = prompt
        self.sequence = sequence
        self.tokens = 0
        """Tokens of the answer, the end token too."""
        self.scores: list[Scores] = []
        """Of the tokens of its text so far, without the end token."""
        self.thoughts = 0
        """Tokens of what the model thought before it answered."""
        self.finish: Finish | None = None
        self._detokenizer = detokenizer
        self._reader = reader
        self._stops = StopFilter(stops) if stops else None
        self._min_tokens = sequence.terms.min_tokens

    @property
    def ended(self) -> bool:
        """Whether nothing more follows."""
        return self.finish is not None

    @property
    def lost_form(self) -> bool:
        """Whether the form that it is held to could not be followed any further, which ends it."""
        guide = self.sequence.chooser.guide
        return guide is not None and guide.failed

    @property
    def stop(self) -> str | None:
        """The stop string that ended the answer, if one did."""
        return self._stops.met if self._stops is not None else None

    @property
    def reason(self) -> str:
        """Why it ended, in the words of answers."""
        if self.finish is Finish.STOP and self._reader is not None and self._reader.calls:
            return "tool_calls"
        return self.finish or ""

    def accept(self, output: Output) -> list[Part]:
        """Take in one output and return what it makes certain. Nothing follows once `finish` is set."""
        text = self._text(output)
        reader = self._reader
        if reader is None:
            parts: list[Part] = [Text(text)] if text else []
        else:
            parts = reader.push(text)
            if self.finish is not None:
                parts += reader.flush()
            self.thoughts += output.token is not None and reader.thinking
        ended = output.finish is Finish.STOP
        if output.scores is not None and not ended and (reader is None or reader.speaking):
            self.scores.append(output.scores)
        return parts

    def _text(self, output: Output) -> str:
        """The text that an output makes certain; sets `finish`."""
        text = ""
        if output.token is not None:
            self.tokens += 1
            if output.finish is not Finish.STOP:
                text = self._detokenizer.push(output.token)
        if output.finish is not None:
            text += self._detokenizer.flush()
        self.finish = output.finish
        if self._stops is None or (self.tokens < self._min_tokens and self.finish is None):
            return text
        text = self._stops.push(text)
        if self._stops.stopped:
            self.finish = Finish.STOP
        elif self.finish is not None:
            text += self._stops.flush()
        return text
