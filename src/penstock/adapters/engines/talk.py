"""How a chat model talks, as the files of its tokenizer say."""

import json
from pathlib import Path

from penstock.domain.vllm_plan import TOKENS, Talk


def talk_of(tokenizer: Path) -> Talk:
    """What the files in its folder say; nothing where they cannot be read."""
    return Talk(_tokens(tokenizer / "tokenizer.json"), _template(tokenizer))


def _tokens(path: Path) -> frozenset[str]:
    """Those of the tokens that it has. It is not parsed, as it is large."""
    try:
        content = path.read_bytes()
    except OSError:
        return frozenset()
    return frozenset(token for token in TOKENS if json.dumps(token).encode() in content)


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
