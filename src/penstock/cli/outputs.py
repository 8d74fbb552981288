"""Files that a command writes at its end: looked at before the long part."""

from pathlib import Path

from penstock.domain.errors import InvalidParameter


def check_writable(*paths: Path | None) -> None:
    """Raises InvalidParameter if one cannot be written; None and - (standard output) can."""
    for path in paths:
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            why = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
            raise InvalidParameter(f"{path} cannot be written: {why}")
