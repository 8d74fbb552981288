"""docs/models.md from docs/models.json: what tests have shown of every family of models on every engine.

usage: models_table.py [FOLDER]

FOLDER: where tests wrote what they saw (MODELS_TABLE=FOLDER pytest ...), lines of
{"family": ..., "engine": ..., "column": ..., "value": ...}; they are put into docs/models.json first. Of several values
for one cell the last counts. A cell without a value has not been shown.
"""

import json
import sys
from pathlib import Path

Facts = dict[str, dict[str, dict[str, str]]]
"""What was shown, by family, engine and column."""
DOCS = Path(__file__).parents[1] / "docs"
FACTS, PAGE = DOCS / "models.json", DOCS / "models.md"
ENGINES = ("CPU int8", "CPU bf16", "CPU fp32", "vLLM bf16", "vLLM fp32", "vLLM")
COLUMNS = ("equals reference", "chat", "tools", "JSON", "logprobs", "LoRA", "tokens/s")
FAMILIES = (
    "Llama 2",
    "Llama 3",
    "Llama 3.1, 3.2, 3.3",
    "CodeLlama",
    "LlamaGuard",
    "DeepSeek-R1 distills (Llama)",
    "DeepSeek-R1 distills (Qwen2)",
    "Mistral",
    "Mixtral",
    "MPT",
    "DBRX",
    "BGE v1.5",
    "MiniLM (mean of all tokens)",
    "GTE v1.5",
)
EMBEDDERS = ("BGE v1.5", "MiniLM (mean of all tokens)", "GTE v1.5")
OF_TEXTS = ("chat", "tools", "JSON", "logprobs", "LoRA")
"""Columns that have nothing to say of a model of vectors."""
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def merged(facts: Facts, lines: list[dict[str, str]]) -> Facts:
    """Facts {family: {engine: {column: value}}} with the lines of tests put in; an unknown name is a mistake."""
    made = json.loads(json.dumps(facts))
    for line in lines:
        family, engine, column = line["family"], line["engine"], line["column"]
        for name, known in ((family, FAMILIES), (engine, ENGINES), (column, COLUMNS)):
            if name not in known:
                raise SystemExit(f"{name!r} is none of {', '.join(known)}")
        made.setdefault(family, {}).setdefault(engine, {})[column] = line["value"]
    return made


def table(facts: Facts) -> str:
    """Markdown; rows of families and engines of which something has been shown."""
    rows = [("family", "engine", *COLUMNS), ("---",) * (len(COLUMNS) + 2)]
    for family in FAMILIES:
        found = facts.get(family, {})
        for number, engine in enumerate(each for each in ENGINES if each in found):
            cells = (_cell(family, column, found[engine]) for column in COLUMNS)
            rows.append((family if not number else "", engine, *cells))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(family: str, column: str, shown: dict[str, str]) -> str:
    nothing = "\N{EN DASH}" if family in EMBEDDERS and column in OF_TEXTS else ""
    return shown.get(column, nothing)


def page(text: str, facts: Facts) -> str:
    """The page with the table renewed."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(facts)}\n{END}{after}"


def main() -> None:
    """Renew the page, with what tests wrote down if a folder of that is given."""
    facts = json.loads(FACTS.read_text()) if FACTS.exists() else {}
    if len(sys.argv) > 1:
        files = sorted(Path(sys.argv[1]).glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
        lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
        facts = merged(facts, lines)
        FACTS.write_text(json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    PAGE.write_text(page(PAGE.read_text(), facts))


if __name__ == "__main__":
    main()
