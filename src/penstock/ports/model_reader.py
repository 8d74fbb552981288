"""What the files of a finalized version say."""

from pathlib import Path
from typing import Protocol

from penstock.domain.model import ModelFacts


class ModelReader(Protocol):
    """Reads a version's files. Never imports or runs anything that comes with them."""

    async def read(self, directory: Path) -> ModelFacts:
        """The facts; what is missing, damaged or not supported is told in `problem` and raises nothing."""
        ...
