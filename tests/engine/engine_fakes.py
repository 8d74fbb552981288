"""A language model whose every logit depends on the whole context as it lies in the KV blocks, and a tokenizer."""

import json
import threading
from hashlib import blake2b

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<s>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>"]
TEXT = [
    "A penstock feeds a turbine a guaranteed flow of water.",
    "Tokens per second are what a serving endpoint sells.",
    "Grüße aus dem Süden, こんにちは, 🙂🙃 and plain words again.",
]


class FakeDecoder:
    """Keeps tokens in its blocks instead of keys and values, so that a wrong block table gives other answers."""

    def __init__(self, vocab_size=300, num_blocks=64, block_size=4, context_length=200, never=()):
        self.vocab_size = vocab_size
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.context_length = context_length
        self.never = list(never)
        self.kv = np.full((num_blocks, block_size), -1, np.int64)
        self.entered = 0
        self.steps = 0
        self.computed = 0
        self.largest = 0
        self.fail = 0
        self.permits = None

    def pace(self):
        """From now on every step needs a permit: `permits.release()`."""
        self.permits = threading.Semaphore(0)

    def step(self, work):
        self.entered += 1
        if self.permits is not None:
            assert self.permits.acquire(timeout=30)
        self.steps += 1
        if self.fail:
            self.fail -= 1
            raise ValueError("a broken step")
        self.largest = max(self.largest, sum(len(w.tokens) for w in work))
        contexts = []
        for w in work:
            assert len(w.tokens) >= 1
            end = w.past + len(w.tokens)
            assert end <= self.context_length
            self.computed += len(w.tokens)
            for position, token in zip(range(w.past, end), w.tokens, strict=True):
                self.kv[w.blocks[position // self.block_size], position % self.block_size] = token
        for w in work:
            end = w.past + len(w.tokens)
            used = w.blocks[: -(-end // self.block_size)]
            context = self.kv[used].reshape(-1)[:end]
            assert (context >= 0).all()
            contexts.extend(context[: end - w.rows + 1 + row] for row in range(w.rows))
        return np.stack([self.logits(c) for c in contexts]) if contexts else np.empty((0, self.vocab_size), np.float32)

    def logits(self, context):
        seed = int.from_bytes(blake2b(np.ascontiguousarray(context).tobytes(), digest_size=8).digest(), "big")
        row = np.random.default_rng(seed).standard_normal(self.vocab_size).astype(np.float32) * 3
        row[self.never] = -50
        return row

    def greedy(self, prompt, count):
        """What a greedy answer must be."""
        tokens = list(prompt)
        for _ in range(count):
            tokens.append(int(self.logits(np.array(tokens, np.int64)).argmax()))
        return tokens[len(prompt) :]


class FakeEncoder:
    def __init__(self, dimensions=8, context_length=32):
        self.dimensions = dimensions
        self.context_length = context_length
        self.shapes = []
        self.fail = 0

    def embed(self, batch):
        self.shapes.append([len(tokens) for tokens in batch])
        if self.fail:
            self.fail -= 1
            raise ValueError("a broken batch")
        rows = [np.random.default_rng(list(tokens)).standard_normal(self.dimensions) for tokens in batch]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32)


def byte_level():
    """Like Llama 3's: byte-level BPE, begin token by the post-processor."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXT * 20, trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return made


def byte_fallback():
    """Like Llama 2's: words with an underline for the space, single bytes for what has no token."""
    space = "\N{LOWER ONE EIGHTH BLOCK}"
    words = [space, *"abcdefghijklmnopqrstuvwxyz.,", f"{space}t", "he", f"{space}a"]
    tokens = [*SPECIAL, "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    vocab = {token: index for index, token in enumerate(tokens)}
    merges = [(space, "t"), ("h", "e"), (space, "a")]
    made = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.add_special_tokens([*SPECIAL, "<unk>"])
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement=space, prepend_scheme="first", split=False)
    steps = [decoders.Replace(space, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    made.decoder = decoders.Sequence(steps)
    return made


def word_piece():
    """Like BERT's: no bytes, so text is decoded through a window."""
    made = Tokenizer(
        models.WordPiece({"[UNK]": 0, "[CLS]": 1, "flow": 2, "##ing": 3, "water": 4, "of": 5}, unk_token="[UNK]")
    )
    made.add_special_tokens(["[CLS]"])
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    return made


def write_model(folder, made, chat_template=CHAT_TEMPLATE, **config):
    """A model directory without weights."""
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": {"content": "</s>"}}
    if chat_template is not None:
        names["chat_template"] = chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps(names | config))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": 1}))
    return folder
