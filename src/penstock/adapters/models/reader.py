"""The facts of a model version, from its files: the MLflow tree of the transformers flavor, or a plain checkpoint."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from penstock.adapters.models.architecture import class_of, context_of, family_of, shape_of
from penstock.adapters.models.document import Damaged, Document, read_json, read_yaml
from penstock.adapters.models.peft import adapter_folder, read_adapter
from penstock.adapters.models.weights import Weights, read_weights
from penstock.domain.model import AdapterFacts, ModelFacts, Shape, Task

MLMODEL = "MLmodel"
TYPE_LIMIT = 100
_Read = TypeVar("_Read")


class FolderReader:
    """See `penstock.ports.model_reader.ModelReader`."""

    async def read(self, directory: Path) -> ModelFacts:
        """The facts; reads in a thread."""
        return await asyncio.to_thread(read_facts, directory)


@dataclass(slots=True)
class _Problems:
    """What is wrong so far; the first is what people are told."""

    found: list[str] = field(default_factory=list)

    def guard(self, read: Callable[[], _Read], otherwise: _Read) -> _Read:
        """What `read` returns, or `otherwise` with its reason noted."""
        try:
            return read()
        except Damaged as error:
            self.found.append(str(error))
        except OSError as error:
            self.found.append(f"The files cannot be read: {error.strerror}.")
        return otherwise

    def check(self, good: bool, problem: str) -> None:
        """Notes the problem unless `good`."""
        if not good:
            self.found.append(problem)


def read_facts(root: Path) -> ModelFacts:
    """The facts. Blocks; never raises because of what the files hold."""
    problems = _Problems()
    card = problems.guard(lambda: _card(root), Document())
    model = root / "model" if card.values else root
    folder = adapter_folder(root)
    adapter = problems.guard(lambda: read_adapter(folder), None) if folder is not None else None
    if folder is not None and not (model / "config.json").is_file():
        return _without_weights(card, adapter, problems)
    task = _task(card) if adapter is not None else _needed_task(card, problems)
    config = problems.guard(lambda: _config(model, card), Document())
    family = problems.guard(lambda: family_of(config), None) if config.values else None
    if family is not None and task is not None:
        tasks = " or ".join(sorted(family.tasks))
        problems.check(task in family.tasks, f"A {config.text('model_type')} model serves {tasks}, not {task.value}.")
    shape: Shape | None = problems.guard(lambda: shape_of(config, family), None) if family else None
    context = problems.guard(lambda: context_of(config, family), 0)
    weights: Weights | None = problems.guard(lambda: read_weights(model), None) if model.is_dir() else None
    tokenizer = _tokenizer(root, model)
    problems.check(tokenizer is not None, "tokenizer.json is missing: log the model together with its fast tokenizer.")
    template = tokenizer is not None and problems.guard(lambda: _has_template(tokenizer), otherwise=False)
    problems.check(template or task is not Task.CHAT, "The tokenizer has no chat template, which llm/v1/chat needs.")
    model_type = card.part("metadata").text("model_type") or config.text("model_type")
    return ModelFacts(
        task=task,
        model_type=_short(model_type),
        architecture=_short(class_of(config)),
        parameters=weights.parameters if weights else 0,
        weight_bytes=weights.size if weights else 0,
        context_length=context,
        shape=shape,
        has_tokenizer=tokenizer is not None,
        has_chat_template=template,
        problem=problems.found[0] if problems.found else None,
        adapter=adapter,
    )


def _without_weights(card: Document, adapter: AdapterFacts | None, problems: _Problems) -> ModelFacts:
    """Of an adapter alone: all else is its base model's."""
    return ModelFacts(
        task=_task(card),
        model_type=None,
        architecture=None,
        parameters=0,
        weight_bytes=0,
        context_length=0,
        shape=None,
        has_tokenizer=False,
        has_chat_template=False,
        problem=problems.found[0] if problems.found else None,
        adapter=adapter,
    )


def _short(text: str | None) -> str | None:
    return text[:TYPE_LIMIT] if text else None


def _card(root: Path) -> Document:
    """The MLmodel file; empty if there is none, as in a plain checkpoint."""
    if not any(root.iterdir()):
        raise Damaged("The version has no files.")
    if not (root / MLMODEL).is_file():
        return Document()
    return read_yaml(root / MLMODEL)


def _task(card: Document) -> Task | None:
    flavor = card.part("flavors").part("transformers")
    told = [card.part("metadata").text("task"), flavor.text("inference_task"), flavor.text("task")]
    return next((Task(task) for task in told if task in set(Task)), None)


def _needed_task(card: Document, problems: _Problems) -> Task | None:
    task, flavor = _task(card), card.part("flavors").part("transformers")
    if task is not None:
        return task
    flavors = ", ".join(str(name) for name in card.part("flavors").values)[:TYPE_LIMIT]
    if card.values and not flavor.values:
        problems.found.append(f"Only models of MLflow's transformers flavor can be served; this one has {flavors!r}.")
    else:
        problems.found.append(f"No task is given: log the model with task= one of {', '.join(sorted(Task))}.")
    return None


def _config(model: Path, card: Document) -> Document:
    flavor = card.part("flavors").part("transformers")
    if flavor.has("peft_adaptor") and adapter_folder(model.parent) is None:
        raise Damaged("MLmodel names a PEFT adapter, but peft/adapter_config.json is missing.")
    if flavor.values and not model.is_dir():
        raise Damaged("The version holds no weights: log the model with save_pretrained=True.")
    return read_json(model / "config.json")


def _tokenizer(root: Path, model: Path) -> Path | None:
    """The folder of tokenizer.json, or None."""
    places = (root / "components" / "tokenizer", model)
    return next((place for place in places if (place / "tokenizer.json").is_file()), None)


def _has_template(tokenizer: Path) -> bool:
    """Transformers 5 writes the chat template beside the tokenizer, 4 into its configuration."""
    if (tokenizer / "chat_template.jinja").is_file():
        return True
    for name in ("tokenizer_config.json", "chat_template.json"):
        if (tokenizer / name).is_file() and read_json(tokenizer / name).has("chat_template"):
            return True
    return False
