"""The many ways in which people ask the same thing: patterns, manners and typing errors, all from one seeded source."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from corpus import Fact, plain

if TYPE_CHECKING:
    import random

TERM = (
    "What is {}?", "What is {}?", "What does {} mean?", "What is meant by {}?", "Explain {}.", "Explain {} to me.",
    "Please explain {}.", "Define {}.", "Describe {}.", "What's {}?", "{}?", "{}", "Tell me about {}.",
    "{} meaning", "What do you mean by {}?", "What do you know about {}?", "I do not understand {}.",
    "Can you explain {}?", "Could you tell me what {} is?", "What is {} in Penstock?", "What are {}?",
    "Give me a definition of {}.", "In simple words, what is {}?", "I want to know what {} is.",
    "Do you know what {} is?", "Why is there {}?", "What is the purpose of {}?", "What is {} for?",
    "What about {}?", "Please explain what {} is.", "How does {} work?", "Who or what is {}?",
    "What do I need to know about {}?", "what exactly is {}?", "Is there {}?",
)  # fmt: skip
HOW = (
    "How do I {}?", "How can I {}?", "How to {}?", "how to {}", "I want to {}.", "I would like to {}.",
    "I need to {}.", "How does one {}?", "What is the way to {}?", "Show me how to {}.", "Tell me how to {}.",
    "Can you tell me how to {}?", "What do I do to {}?", "What must I do to {}?", "{}", "Can I {}?",
    "Is it possible to {}?", "What is the best way to {}?", "What do I have to do to {}?", "Explain how to {}.",
    "How should I {}?", "Where do I {}?", "Let me {}.", "Which call do I need to {}?", "What is the command to {}?",
    "How would I {}?", "I am trying to {}.",
)  # fmt: skip
TOPIC = (
    "What is {}?", "Tell me about {}.", "Who is {}?", "Explain {}.", "Where is {}?", "Do you like {}?",
    "How old is {}?", "What do you think about {}?", "Write a poem about {}.", "Write a story about {}.",
    "How does {} work?", "{}", "{}?", "Why is {} so popular?", "What is the history of {}?",
    "How do I learn about {}?", "What is the best thing about {}?", "Tell me a joke about {}.", "Who invented {}?",
    "Sing about {}.", "How much is {}?", "Where can I buy {}?", "I love {}.", "Let us talk about {}.",
    "What is the capital of {}?", "When was {}?", "What does {} mean?", "Who made {}?", "How many {} are there?",
    "Give me a recipe with {}.", "Is {} good for me?", "What colour is {}?", "Who discovered {}?",
    "Compose a melody for {}.", "How big is {}?", "Can you play {}?", "Who is the best at {}?", "How do I make {}?",
    "Who was {}?", "How do I get {}?", "Can I have {}?", "Why is {} there?", "How do I cook {}?",
    "Who wrote about {}?",     "What is the name of {}?", "How far is {}?",
)  # fmt: skip
BEFORE = (
    "please tell me, ", "Hi, ", "Hello, ", "Hello! ", "hey, ", "So, ", "ok, ", "Quick question: ",
    "Can you tell me: ", "I have a question: ", "Sorry, ", "Well, ", "And ", "But ", "One more thing: ", "Now, ",
    "I wonder, ", "Good morning, ", "Please, ", "tell me, ", "Question: ", "I am new here. ", "Actually, ",
    "Just curious, ", "Thanks! ",
)  # fmt: skip
AFTER = (
    " Please.", " please", " Thanks!", " thank you", " in Penstock", " here", " exactly", " in short",
    " in simple words", " then", " again", " with Penstock", " Please explain.", " I am new to this.", " really",
    " (briefly)", " on this server",
)  # fmt: skip
SWAPS = (
    ("What is", "What's"), ("do I", "can I"), ("can I", "do I"), ("my ", "the "), ("the ", ""), ("a ", "the "),
    ("Penstock", "this server"), ("Penstock", "it"), ("do you", "does Penstock"), ("How do I", "How to"),
    ("How do I", "How can one"), ("Can I", "Is it possible to"), ("Why do I", "Why did I"),
    ("happens", "will happen"), ("What happens when", "What if"), ("What if", "What happens if"), ("Which", "What"),
    ("What", "Which"), ("Is there", "Do you have"), ("Where do I find", "Where is"), ("an endpoint", "my endpoint"),
    ("a model", "my model"), ("Does it", "Does Penstock"), ("Does Penstock", "Does it"), ("get", "see"),
    ("supported", "possible"), ("does", "do"), ("are", "is"),
)  # fmt: skip
ALIKE = (
    ("computed", "calculated", "worked out", "determined"), ("stored", "kept", "saved"), ("stop", "end", "halt"),
    ("delete", "remove", "drop"), ("change", "modify", "alter"), ("see", "view", "look at"),
    ("find", "look up", "get"), ("start", "launch", "begin"), ("show", "display", "print"),
    ("create", "make", "set up", "add"), ("wrong", "incorrect", "bad"), ("large", "big"),
    ("small", "little", "tiny"), ("fast", "quick", "speedy"), ("slow", "sluggish"), ("happens", "occurs"),
    ("crash", "failure", "breakdown"), ("crashes", "dies", "breaks", "fails"), ("use", "work with", "employ"),
    ("need", "require"), ("reason", "cause"), ("purpose", "point", "use", "job"), ("mean", "stand for"),
    ("meaning", "sense"), ("explain", "describe"), ("server", "service", "Penstock"),
    ("machine", "computer", "device"), ("documentation", "docs", "manual"), ("allowed", "permitted"),
    ("supported", "possible", "available"), ("send", "post", "submit"), ("request", "call", "query"),
    ("requests", "calls", "queries"), ("answer", "response", "reply"), ("choose", "pick", "select"),
    ("parallel", "concurrent", "simultaneous"), ("error", "failure"), ("route", "path", "URL"), ("wait", "hold on"),
    ("prompt", "input", "text"), ("folder", "directory"), ("update", "change"), ("version", "release"),
    ("cost", "price"), ("costs", "takes"), ("expensive", "costly", "dear"), ("capacity", "throughput"),
    ("measured", "benchmarked", "tested"), ("several", "many", "multiple", "two"),
    ("running", "active", "alive", "up"), ("unknown", "unexpected", "extra"), ("refused", "rejected", "denied"),
    ("cancel", "abort", "call off"), ("weights", "model files"), ("memory", "RAM"),
    ("log in", "sign in", "authenticate"), ("done", "carried out"), ("default", "standard"), ("lost", "gone"),
    ("library", "package", "SDK"), ("correct", "right", "true"), ("trained", "taught", "made"),
    ("installed", "set up"), ("limit", "maximum", "bound"), ("disconnect", "hang up", "go away"),
    ("divided", "split", "shared"), ("serve", "run", "deploy"), ("endpoint", "serving endpoint"),
    ("settings", "options", "configuration"), ("tell", "say to"), ("know", "learn", "find out"),
)  # fmt: skip
FILLERS = frozenset(
    {"the", "a", "an", "is", "do", "does", "of", "in", "to", "my", "i", "are", "it", "you", "me", "and"}
)


class Phrasing:
    """Draws questions for facts; never one of the held-out questions."""

    def __init__(self, facts: list[Fact], rng: random.Random) -> None:
        self._rng = rng
        self._kept = {plain(question) for fact in facts for question in fact.held_out}

    def draw(self, fact: Fact) -> str:
        """One question for a fact, in some manner of asking."""
        while True:
            question = self._manner(self._base(fact))
            if plain(question) and plain(question) not in self._kept:
                return question

    def _base(self, fact: Fact) -> str:
        made = [(TERM, fact.terms), (HOW, fact.hows), (TOPIC, fact.topics)]
        made = [(patterns, words) for patterns, words in made if words]
        if made and self._rng.random() < 0.35:
            patterns, words = self._rng.choice(made)
            return self._rng.choice(patterns).format(self._rng.choice(words))
        return self._rng.choice(fact.asked)

    def _manner(self, text: str) -> str:
        text = self._framed(self._reworded(text))
        for _ in range(self._rng.choice((0, 0, 0, 0, 1, 2))):
            text = self._mistyped(text)
        return self._written(text)

    def _reworded(self, text: str) -> str:
        rng = self._rng
        if rng.random() < 0.25:
            old, new = rng.choice([swap for swap in SWAPS if swap[0] in text] or [("", "")])
            text = text.replace(old, new, 1)
        if rng.random() < 0.3:
            text = self._with_a_synonym(text)
        if rng.random() < 0.15:
            text = self._without_a_word(text, FILLERS)
        if rng.random() < 0.15 and text.count(" ") > 3:
            text = self._without_a_word(text, None)
        return self._shuffled(text) if rng.random() < 0.05 else text

    def _framed(self, text: str) -> str:
        rng = self._rng
        if rng.random() < 0.12:
            text = rng.choice(BEFORE) + text[:1].lower() + text[1:]
        if rng.random() < 0.12:
            end = text[-1:] if text[-1:] in "?." else ""
            text = text.removesuffix(end) + rng.choice(AFTER) + rng.choice([end, ""])
        return text

    def _written(self, text: str) -> str:
        rng = self._rng
        if rng.random() < 0.35:
            text = text.rstrip("?.!")
        if rng.random() < 0.40:
            text = text.lower()
        elif rng.random() < 0.03:
            text = text.upper()
        return text.strip()

    def _with_a_synonym(self, text: str) -> str:
        found = [group for group in ALIKE for word in group if f" {word}" in text]
        if not found:
            return text
        group = self._rng.choice(found)
        old = next(word for word in group if f" {word}" in text)
        return text.replace(f" {old}", f" {self._rng.choice(group)}", 1)

    def _without_a_word(self, text: str, kind: frozenset[str] | None) -> str:
        words = text.split()
        places = [i for i, word in enumerate(words) if kind is None or word.lower() in kind]
        if places:
            del words[self._rng.choice(places)]
        return " ".join(words)

    def _shuffled(self, text: str) -> str:
        """What people ask shows in their words far more than in the order of these."""
        words = text.split()
        self._rng.shuffle(words)
        return " ".join(words)

    def _mistyped(self, text: str) -> str:
        """One typing error inside a word of at least four letters: a swap, a loss, a doubling or a wrong letter."""
        rng = self._rng
        places = [i for i in range(1, len(text) - 2) if text[i - 1 : i + 3].isalpha()]
        if not places:
            return text
        i = rng.choice(places)
        new = rng.choice(
            (
                text[i + 1] + text[i],
                text[i + 1],
                text[i] * 2 + text[i + 1],
                rng.choice(string.ascii_lowercase) + text[i + 1],
            )
        )
        return text[:i] + new + text[i + 2 :]
