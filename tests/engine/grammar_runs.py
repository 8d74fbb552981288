"""Answers of a model that says anything, held to a grammar: on the step loop, without a server."""

import json

import numpy as np
from engine_fakes import FakeDecoder

from penstock_engine.engine_loop import EngineLoop
from penstock_engine.grammar import Mind, Schema, value_grammar
from penstock_engine.grammars import Grammars
from penstock_engine.metrics import Metrics
from penstock_engine.sampling import Sampling
from penstock_engine.sequence import Sequence, Terms

WIDTH = 400
PROMPT = np.array([7, 8, 9], np.int64)


def value_of(schema, mind=Mind.NONE, special=None):
    return value_grammar(Schema("response_format", schema, strict=True), mind, special or {})


class Holder:
    """Runs answers for a tokenizer and its grammars."""

    def __init__(self, tokenizer, width=WIDTH):
        self.tokenizer = tokenizer
        self.grammars = Grammars(tokenizer, width)
        self.decoder = FakeDecoder(vocab_size=width, block_size=16, num_blocks=256, context_length=2048)

    def answers(self, grammar, max_tokens=60, seeds=(0,), **sampling):
        """Text and end of an answer for each seed, all computed side by side."""
        loop = EngineLoop(self.decoder, Metrics(), max_running=8, max_queue=64, prefill_chunk=64, on_fatal=lambda: None)
        terms = Terms(max_tokens=max_tokens, ends=self.tokenizer.ends)
        guides = self.grammars.guides(grammar, [terms] * len(seeds))
        sequences = [Sequence(PROMPT, terms, Sampling(seed=seed, **sampling)) for seed in seeds]
        for sequence, guide in zip(sequences, guides, strict=True):
            sequence.chooser.guide = guide
        loop.submit(sequences)
        while any(sequence.finish is None for sequence in sequences):
            loop.step()
        loop.stop()
        return [(self.text(sequence), sequence.finish) for sequence in sequences]

    def guides(self, grammar, *budgets):
        """Guides of answers of so many tokens."""
        return self.grammars.guides(grammar, [Terms(max_tokens=each, ends=self.tokenizer.ends) for each in budgets])

    def text(self, sequence):
        tokens = sequence.tokens[sequence.prompt_length : sequence.length].tolist()
        whole = b"".join(self.tokenizer.piece(token) for token in tokens if token not in self.tokenizer.ends)
        # What is cut off by its length may be so within a character.
        return whole.decode(errors="ignore" if sequence.finish == "length" else "strict")

    def values(self, schema, **how):
        """Values of answers that must all be complete."""
        found = self.answers(value_of(schema), **how)
        assert {finish for _, finish in found} == {"stop"}, found
        return [json.loads(text) for text, _ in found]
