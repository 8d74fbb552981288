"""One of a request's answers as text: from a sequence's outputs to what the client reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock_engine.detokenizer import StopFilter
from penstock_engine.sequence import Finish

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    from penstock_engine.detokenizer import Detokenizer
    from penstock_engine.logprobs import Scores
    from penstock_engine.sequence import Output, Sequence


class Choice:
    """Text, scores and end of one answer. Lives on the event loop."""

    __slots__ = ("_detokenizer", "_min_tokens", "_stops", "finish", "index", "prompt", "scores", "sequence", "tokens")

    def __init__(self, index: int, prompt: int, sequence: Sequence, detokenizer: Detokenizer, stops: Many[str]) -> None:
        """`index`: number of the choice in the answer; `prompt`: number of the prompt that it answers."""
        self.index = index
        self.prompt = prompt
        self.sequence = sequence
        self.tokens = 0
        """Tokens of the answer, the end token too."""
        self.scores: list[Scores] = []
        """Of the answer's tokens so far, without the end token."""
        self.finish: Finish | None = None
        self._detokenizer = detokenizer
        self._stops = StopFilter(stops) if stops else None
        self._min_tokens = sequence.terms.min_tokens

    @property
    def ended(self) -> bool:
        """Whether nothing more follows."""
        return self.finish is not None

    @property
    def stop(self) -> str | None:
        """The stop string that ended the answer, if one did."""
        return self._stops.met if self._stops is not None else None

    def accept(self, output: Output) -> str:
        """Take in one output and return the text that it makes certain. Nothing follows once `finish` is set."""
        text = ""
        if output.token is not None:
            self.tokens += 1
            ended = output.finish is Finish.STOP
            if not ended:
                text = self._detokenizer.push(output.token)
                if output.scores is not None:
                    self.scores.append(output.scores)
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
