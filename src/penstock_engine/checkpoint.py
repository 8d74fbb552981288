"""A model directory: where its weights and its tokenizer lie, and its tensors by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock_engine.adapter import CONFIG as ADAPTER
from penstock_engine.adapter import MLFLOW
from penstock_engine.config import Config
from penstock_engine.errors import CheckpointError
from penstock_engine.safetensors import SafetensorsFile, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
INDEX_LIMIT = 64 << 20
MAX_SHARDS = 4096
BASE_LAYER, LORA = ".base_layer.", ".lora_"
"""In names of tensors that were saved with an adapter around their layers."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """Where things lie: a plain Hugging Face directory, or an MLflow tree with `model/` and `components/tokenizer/`."""

    root: Path
    weights: Path
    """The folder of config.json and the safetensors files."""
    tokenizer: Path
    """The folder of tokenizer.json, tokenizer_config.json and the chat template."""

    @staticmethod
    def open(root: Path) -> ModelFolder:
        """Raises CheckpointError if neither layout is found."""
        if (root / "MLmodel").is_file() and (root / "model" / "config.json").is_file():
            tokenizer = root / "components" / "tokenizer"
            return ModelFolder(root, root / "model", tokenizer if tokenizer.is_dir() else root / "model")
        if (root / "config.json").is_file():
            return ModelFolder(root, root, root)
        raise CheckpointError(f"{root.name} has neither config.json nor MLmodel with model/config.json")

    def weight_files(self) -> tuple[Path, ...]:
        """The safetensors files, as the index names them; never what else lies in the folder.

        Raises CheckpointError if there are none, or the index is damaged or names a file outside the folder.
        """
        if (self.weights / INDEX).is_file():
            return tuple(self.weights / name for name in _files_of_index(self.weights / INDEX))
        if (self.weights / SINGLE).is_file():
            return (self.weights / SINGLE,)
        if any(self.weights.glob("*.bin")):
            raise CheckpointError(
                "the weights are pickles (.bin), which can run code when they are read: write them as safetensors with "
                "AutoModel.from_pretrained(folder).save_pretrained(new_folder), of the model's own class, and use those"
            )
        raise CheckpointError(f"neither {INDEX} nor {SINGLE} found: weights must be in safetensors format")


class Checkpoint:
    """All tensors of a model, memory-mapped, and its configuration. Notes which tensors were asked for."""

    def __init__(self, folder: ModelFolder) -> None:
        """Raises CheckpointError on damaged, missing or contradicting files."""
        self.folder = folder
        self.config = Config.read(folder.weights / "config.json")
        self._files: list[SafetensorsFile] = []
        self._home: dict[str, tuple[SafetensorsFile, str]] = {}
        self._used: set[str] = set()
        wrapped = (folder.root / MLFLOW / ADAPTER).is_file()
        for path in folder.weight_files():
            file = SafetensorsFile(path)
            self._files.append(file)
            for kept in file.names():
                name = _without_adapter(kept) if wrapped else kept
                if name in self._home:
                    raise CheckpointError(
                        f"tensor {name!r:.200} is in both {self._home[name][0].path.name} and {path.name}"
                    )
                if name:
                    self._home[name] = (file, kept)

    def __contains__(self, name: str) -> bool:
        return name in self._home

    def tensor(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        """Raises CheckpointError if the tensor is missing or has another shape than the configuration says."""
        if name not in self._home:
            raise CheckpointError(f"tensor {name!r} is missing from the checkpoint")
        self._used.add(name)
        file, kept = self._home[name]
        tensor = file.tensor(kept)
        if shape is not None and tensor.shape != shape:
            raise CheckpointError(f"tensor {name!r} has shape {tensor.shape}, config.json says {shape}")
        return tensor

    def unused(self) -> tuple[str, ...]:
        """Tensors that nobody asked for: a model whose weights are left out is not the model its authors meant."""
        return tuple(sorted(self._home.keys() - self._used))

    def parameters(self) -> int:
        """How many numbers the tensors hold together."""
        return sum(file.tensor(kept).data.size for file, kept in self._home.values())

    def size(self) -> int:
        """Bytes of the weight files."""
        return sum(file.path.stat().st_size for file in self._files)

    def drop_pages(self) -> None:
        """Give the mapped pages back to the system; they are read again from the files if needed."""
        for file in self._files:
            file.drop_pages()


def _without_adapter(name: str) -> str:
    """A tensor's name in its model, empty if it is the adapter's, which has files of its own.

    MLflow saves a model while PEFT has it wrapped, with the layers' own weights and the adapter's side by side.
    """
    return "" if LORA in name else name.replace(BASE_LAYER, ".")


def _files_of_index(path: Path) -> Iterable[str]:
    try:
        if path.stat().st_size > INDEX_LIMIT:
            raise CheckpointError(f"{path.name} is larger than {INDEX_LIMIT} bytes")
        index = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {error!s:.120}") from error
    names = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise CheckpointError(f"{path.name} has no weight_map of tensor names to file names")
    files = sorted(set(names.values()))
    for name in files:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise CheckpointError(f"{path.name} names {name!r:.200}, which is not a safetensors file beside it")
    if len(files) > MAX_SHARDS:
        raise CheckpointError(f"{path.name} names more than {MAX_SHARDS} files")
    return files
