"""The facts of versions, from honest and hostile files."""

import json
import struct

import pytest

from penstock.adapters.models.reader import FolderReader, read_facts
from penstock.domain.model import ModelFacts, Shape, Task

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 258,
    "max_position_embeddings": 4096,
}  # fmt: skip
BERT = {**LLAMA, "architectures": ["BertModel"], "model_type": "bert", "max_position_embeddings": 512}
CARD = """
flavors:
  transformers:
    inference_task: {task}
    task: text-generation
metadata:
  task: {task}
"""


def safetensors(tensors, cut=0):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + size]}
        data += bytes(size)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[: len(data) - cut]


WEIGHTS = safetensors({"a": ("BF16", [4, 5], 40), "b": ("F32", [3], 12)})


class Version:
    """A version's files, in MLflow's tree."""

    def __init__(self, root):
        self.root = root
        self.put("MLmodel", CARD.format(task="llm/v1/chat"))
        self.put("model/config.json", json.dumps(LLAMA))
        self.put("model/model.safetensors", WEIGHTS)
        self.put("components/tokenizer/tokenizer.json", "{}")
        self.put("components/tokenizer/tokenizer_config.json", "{}")
        self.put("components/tokenizer/chat_template.jinja", "{{ messages }}")

    def put(self, path, content):
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())

    def config(self, **changes):
        self.put("model/config.json", json.dumps({**LLAMA, **changes}))

    def drop(self, path):
        (self.root / path).unlink()

    @property
    def facts(self) -> ModelFacts:
        return read_facts(self.root)


@pytest.fixture
def version(tmp_path):
    return Version(tmp_path / "v")


async def test_a_llama_can_be_served(version):
    assert await FolderReader().read(version.root) == ModelFacts(
        task=Task.CHAT,
        model_type="llama",
        architecture="LlamaForCausalLM",
        parameters=23,
        weight_bytes=len(WEIGHTS),
        context_length=4096,
        shape=Shape(2, 32, 64, 4, 2, 8, 258),
        has_tokenizer=True,
        has_chat_template=True,
        problem=None,
    )


@pytest.mark.parametrize("template", ["x", [{"name": "default", "template": "x"}]])
def test_the_chat_template_of_transformers_4(version, template):
    version.drop("components/tokenizer/chat_template.jinja")
    version.put("components/tokenizer/tokenizer_config.json", json.dumps({"chat_template": template}))
    assert (version.facts.has_chat_template, version.facts.problem) == (True, None)


def test_without_a_template_there_are_completions_but_no_chat(version):
    version.drop("components/tokenizer/chat_template.jinja")
    assert "no chat template" in version.facts.problem
    version.put("MLmodel", CARD.format(task="llm/v1/completions"))
    assert (version.facts.task, version.facts.problem) == (Task.COMPLETIONS, None)


def test_a_bert_is_known_by_the_name_it_was_given(version):
    version.put("model/config.json", json.dumps(BERT))
    version.put("MLmodel", CARD.format(task="llm/v1/embeddings") + "  model_type: bge-large\n")
    version.drop("components/tokenizer/chat_template.jinja")
    facts = version.facts
    assert (facts.problem, facts.model_type, facts.task, facts.context_length) == (
        None,
        "bge-large",
        Task.EMBEDDINGS,
        512,
    )
    assert facts.shape.kv_heads == 0


def test_a_mistral_with_defaults(version):
    config = {**LLAMA, "model_type": "mistral", "architectures": ["MistralForCausalLM"], "num_attention_heads": 16}
    del config["num_key_value_heads"], config["max_position_embeddings"]
    version.put("model/config.json", json.dumps(config))
    assert (version.facts.problem, version.facts.shape.kv_heads, version.facts.context_length) == (None, 8, 131_072)


def test_shards_are_added_up(version):
    version.drop("model/model.safetensors")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}}
    version.put("model/model.safetensors.index.json", json.dumps(index))
    version.put("model/one.safetensors", WEIGHTS)
    assert version.facts.problem == "The weights file two.safetensors is missing."
    version.put("model/two.safetensors", WEIGHTS)
    assert (version.facts.parameters, version.facts.weight_bytes) == (46, 2 * len(WEIGHTS))
    for name in ("../../x.safetensors", "x.bin", "a/b.safetensors"):
        version.put("model/model.safetensors.index.json", json.dumps({"weight_map": {"a": name}}))
        assert "not a safetensors file beside it" in version.facts.problem


def test_a_plain_checkpoint_lacks_only_its_task(tmp_path):
    for name, content in {
        "config.json": json.dumps(LLAMA).encode(),
        "model.safetensors": WEIGHTS,
        "tokenizer.json": b"{}",
    }.items():
        (tmp_path / name).write_bytes(content)
    facts = read_facts(tmp_path)
    assert (facts.parameters, facts.has_tokenizer, facts.task) == (23, True, None)
    assert "No task is given" in facts.problem


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model_type": "gpt2"}, "Models of type 'gpt2' cannot be served"),
        ({"model_type": "mixtral"}, "LlamaForCausalLM cannot be served; of mixtral models, MixtralForCausalLM can"),
        ({"model_type": None}, "Models of type '' cannot be served"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification cannot be served"),
        ({"auto_map": {"AutoModel": "x"}}, "brings its own code"),
        ({"quantization_config": {"bits": 4}}, "quantised already"),
        ({"rope_scaling": {"type": "su", "factor": 2}}, "Rope scaling of type 'su'"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "Rope scaling of type 'longrope'"),
        ({"hidden_size": -1}, "hidden_size must be a whole number"),
        ({"num_hidden_layers": "2"}, "num_hidden_layers must be a whole number"),
        ({"num_key_value_heads": 3}, "not a multiple"),
        ({"max_position_embeddings": 10**12}, "max_position_embeddings must be a whole number"),
    ],
)
def test_what_config_says_cannot_be_served(version, changes, problem):
    version.config(**changes)
    assert problem in version.facts.problem
    assert version.facts.parameters == 23


@pytest.mark.parametrize("kind", ["llama3", "linear", "dynamic", "yarn", "default"])
def test_rope_kinds_that_are_served(version, kind):
    version.config(rope_scaling={"rope_type": kind, "factor": 8.0}, max_position_embeddings=131_072)
    assert (version.facts.problem, version.facts.context_length) == (None, 131_072)


def test_the_task_must_fit_the_family(version):
    version.put("MLmodel", CARD.format(task="llm/v1/embeddings"))
    assert version.facts.problem == "A llama model serves llm/v1/chat or llm/v1/completions, not llm/v1/embeddings."


@pytest.mark.parametrize(
    ("card", "problem"),
    [
        ("flavors: {python_function: {}, sklearn: {}}", "this one has 'python_function, sklearn'"),
        ("flavors: {transformers: {task: text-generation}}", "No task is given"),
        ("flavors: {transformers: {task: llm/v1/chat, peft_adaptor: peft}}", "PEFT adapter"),
        ("[1, 2]", "MLmodel must be a YAML mapping"),
        ("a: [b", "MLmodel is not valid YAML"),
        ("a: !!python/object/apply:os.system [x]", "this one has ''"),
        ("flavors: " + "[" * 20_000, "MLmodel is not valid YAML"),
        ("a: " + "x" * 300_000, "larger than 262144 bytes"),
        ("{? {a: b} : c}", "MLmodel is not valid YAML"),
        ("a: \x00", "MLmodel is not valid YAML"),
    ],
)
def test_cards_that_do_not_do(version, card, problem):
    version.put("MLmodel", card)
    assert problem in version.facts.problem


def test_aliases_do_not_multiply(version):
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 40))
    merges = "m0: &m0 {k: v}\n" + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 40))
    version.put("MLmodel", bomb + merges + CARD.format(task="llm/v1/chat"))
    assert version.facts.problem is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        struct.pack("<Q", 1 << 63) + b"{}",
        struct.pack("<Q", 1 << 20) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"{{{{",
        struct.pack("<Q", 200_000) + b'{"a":' + b"[" * 199_995,
        safetensors({"a": ("F32", [4], 12)}),
        safetensors({"a": ("F32", [-4], 12)}),
        safetensors({"a": ("F32", [1 << 60, 0], 0)}),
        safetensors({"a": ("F32", ["4"], 16)}),
        safetensors({"a": ("F8_E4M3", [4, 4], 16)}),
        safetensors({"a": ("I8", [4, 4], 16)}),
        safetensors({"a": ("F32", [4], 16)}, cut=1),
        struct.pack("<Q", 7) + b'{"a":1}',
        struct.pack("<Q", 44) + b'{"a":{"dtype":"F32","shape":4,"data_offsets"',
    ],
)
def test_weights_that_are_not_what_they_claim_are_a_problem(version, content):
    version.put("model/model.safetensors", content)
    assert "model.safetensors" in version.facts.problem
    assert version.facts.parameters == 0


@pytest.mark.parametrize(
    ("path", "content", "problem"),
    [
        ("model/config.json", b"[" * 100_000, "config.json is not valid JSON"),
        ("model/config.json", b"[]", "config.json must be a JSON object"),
        ("model/config.json", b"\xff\xfe", "config.json is not valid JSON"),
        ("model/config.json", b'{"a": ' + b"9" * 5000 + b"}", "config.json is not valid JSON"),
        ("model/config.json", b" " * (16 << 20) + b"{}", "config.json is larger"),
        ("components/tokenizer/tokenizer_config.json", b"{", "tokenizer_config.json is not valid JSON"),
    ],
)
def test_damaged_files_are_a_problem(version, path, content, problem):
    version.drop("components/tokenizer/chat_template.jinja")
    version.put(path, content)
    assert problem in version.facts.problem


@pytest.mark.parametrize(
    ("gone", "problem"),
    [
        ("model/config.json", "config.json is missing"),
        ("model/model.safetensors", "weights must be in safetensors format"),
        ("components/tokenizer/tokenizer.json", "tokenizer.json is missing"),
    ],
)
def test_what_is_missing_is_named(version, gone, problem):
    version.drop(gone)
    assert problem in version.facts.problem
    assert version.facts.task is Task.CHAT


def test_pickles_and_adapters_are_told_apart(version):
    version.drop("model/model.safetensors")
    version.put("model/pytorch_model.bin", b"")
    assert "pickles (.bin)" in version.facts.problem
    assert "save_pretrained" in version.facts.problem
    version.put("model/adapter_config.json", b"{}")
    assert "PEFT adapter" in version.facts.problem


def test_a_version_without_files_or_weights(tmp_path):
    assert read_facts(tmp_path).problem == "The version has no files."
    (tmp_path / "MLmodel").write_text(CARD.format(task="llm/v1/chat"))
    assert "save_pretrained=True" in read_facts(tmp_path).problem
