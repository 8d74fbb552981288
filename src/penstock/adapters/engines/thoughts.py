"""Whether a chat model thinks before it answers, as the files of its tokenizer say."""

import json
from pathlib import Path

BEGIN, END = "<think>", "</think>"


def thinks(tokenizer: Path) -> bool:
    """Whether its chat template knows where thoughts end, and its tokenizer has the two tokens around them."""
    return END in _template(tokenizer) and _has(tokenizer / "tokenizer.json", BEGIN, END)


def _template(folder: Path) -> str:
    """The chat template, or all of them; empty if there is none that can be read."""
    beside = folder / "chat_template.jinja"
    if beside.is_file():
        return beside.read_text(errors="replace")
    for name in ("tokenizer_config.json", "chat_template.json"):
        try:
            told = json.loads((folder / name).read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(told, dict) and told.get("chat_template"):
            return str(told["chat_template"])
    return ""


def _has(path: Path, *tokens: str) -> bool:
    """Whether a tokenizer has these; it is not parsed, as it is large."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return all(json.dumps(token).encode() in content for token in tokens)
